use std::{net::IpAddr, time::Duration};

use equipoise_core::{Availability, BindingOutcome, Candidate, CandidateResult};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde::Serialize;

use super::{
    accept::preferred,
    body::PageBody,
    reply::{self, Problem},
};
use crate::{
    monitor::Monitor,
    source::{ExplainAnswer, ExplainQuestion},
};

/// How long an explanation may take. It may wait for a session store.
const TIMEOUT: Duration = Duration::from_secs(5);

const USAGE: &str = "the parameters are pool=NAME, method=GET, path=/, host=NAME, header=NAME: VALUE (any number), \
                     cookie=NAME=VALUE (any number), client=ADDRESS and key=TEXT";

/// Answers with the explanation of a pick, as JSON or as text.
pub(super) async fn explain(
    monitor: &Monitor,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response<PageBody>, Problem> {
    let format = preferred(headers, &["application/json", "text/plain"])
        .ok_or_else(|| Problem::new(StatusCode::NOT_ACCEPTABLE, "explanations are application/json or text/plain"))?;
    let (name, question) = read(query).map_err(Problem::bad)?;
    let mut pools = monitor.pools();
    let index = match &name {
        Some(name) => pools.iter().position(|pool| *pool.name == **name),
        None if pools.len() == 1 => Some(0),
        None => return Err(Problem::bad(format!("name the pool as pool=NAME: {}", names(monitor)))),
    };
    let Some(index) = index else {
        return Err(Problem::bad(format!("there is no pool {:?}: {}", name.unwrap_or_default(), names(monitor))));
    };
    let pool = pools.swap_remove(index);
    let explained = tokio::time::timeout(TIMEOUT, pool.explain(question)).await;
    let answer = explained
        .map_err(|_| Problem::new(StatusCode::GATEWAY_TIMEOUT, "the explanation took longer than 5 s"))?
        .map_err(Problem::bad)?;
    match format {
        0 => reply::json(&Explained::new(&pool.name, pool.pool.strategy(), &answer)),
        _ => Ok(reply::text(format!("pool {}\n{answer}\n", pool.name))),
    }
}

fn names(monitor: &Monitor) -> String {
    let names: Vec<String> = monitor.pools().iter().map(|pool| format!("{:?}", pool.name)).collect();
    match names.is_empty() {
        true => "the monitor has no pools".to_owned(),
        false => format!("the pools are {}", names.join(", ")),
    }
}

/// Reads the name of the pool and the request.
fn read(query: &str) -> Result<(Option<String>, ExplainQuestion), String> {
    let (mut pool, mut question, mut request) = (None, ExplainQuestion::default(), Request::new(()));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        // The form of the page sends fields that are left empty, too.
        if value.is_empty() && name != "key" {
            continue;
        }
        match &*name {
            "pool" => pool = Some(value.into_owned()),
            "method" => {
                *request.method_mut() = Method::from_bytes(value.as_bytes())
                    .map_err(|_| format!("{value:?} is not a method: use a name such as GET"))?;
            }
            "path" => *request.uri_mut() = path(&value)?,
            "host" => drop(request.headers_mut().insert(header::HOST, header_value("host", &value)?)),
            "header" => {
                let (name, value) = header_line(&value)?;
                append(&mut request, name, value)?;
            }
            "cookie" => append(&mut request, header::COOKIE, header_value("cookie", &value)?)?,
            "client" => {
                let address = value.trim().parse();
                question.client = Some(address.map_err(|_| {
                    format!("{value:?} is not an address: use one such as 192.0.2.1 or 2001:db8::1, without a port")
                })?);
            }
            "key" => question.key = (!value.is_empty()).then(|| value.into_owned().into_bytes()),
            _ => return Err(format!("there is no parameter {name:?}: {USAGE}")),
        }
    }
    if let Some(client) = question.client {
        set_client(&mut request, client);
    }
    question.request = request;
    Ok((pool, question))
}

fn path(text: &str) -> Result<Uri, String> {
    let wrong = || format!("{text:?} is not a path: use one such as /index.html?page=2, with spaces as %20");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    // `*` and `host:port` are targets of requests, too, but of other methods than those that are balanced.
    if uri.path().starts_with('/') { Ok(uri) } else { Err(wrong()) }
}

fn header_line(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?} is not a header: use NAME: VALUE"))?;
    let name = name.trim();
    let value = header_value(name, value.trim())?;
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} is not the name of a header: use letters, digits and hyphens"))?;
    Ok((name, value))
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value).map_err(|_| format!("the value of {name:?} has control characters: leave them out"))
}

fn append(request: &mut Request<()>, name: HeaderName, value: HeaderValue) -> Result<(), String> {
    let appended = request.headers_mut().try_append(name, value);
    appended.map(drop).map_err(|_| "there are too many headers".to_owned())
}

#[cfg_attr(not(feature = "affinity"), expect(unused_variables))]
fn set_client(request: &mut Request<()>, client: IpAddr) {
    #[cfg(feature = "affinity")]
    request.extensions_mut().insert(equipoise_affinity::source::PeerAddr((client, 0).into()));
}

/// An explanation as JSON.
#[derive(Serialize)]
struct Explained<'a> {
    pool: &'a str,
    strategy: String,
    revision: Option<u64>,
    /// The id of the endpoint. `None` if the pick would fail.
    picked: Option<&'a str>,
    /// Why the pick would fail.
    error: Option<String>,
    binding: Option<Binding>,
    steps: &'a [String],
    candidates: Vec<ExplainedCandidate<'a>>,
    /// All of it as text.
    text: String,
}

/// Whether the endpoint is the one to which the request is bound.
#[derive(Serialize)]
struct Binding {
    outcome: &'static str,
    /// Why the pick did not choose the endpoint to which the request is bound.
    reason: Option<String>,
}

#[derive(Serialize)]
struct ExplainedCandidate<'a> {
    id: &'a str,
    address: &'a str,
    availability: Availability,
    tier: u8,
    weight: u32,
    in_flight: u32,
    max_in_flight: Option<u32>,
    score: Option<f64>,
    result: &'static str,
    reason: String,
}

impl<'a> Explained<'a> {
    fn new(pool: &'a str, strategy: String, answer: &'a ExplainAnswer) -> Self {
        let (picked, error) = match &answer.pick {
            Ok(pick) => match &pick.picked {
                Ok(id) => (Some(id.as_str()), None),
                Err(error) => (None, Some(error.to_string())),
            },
            Err(error) => (None, Some(error.to_string())),
        };
        let pick = answer.pick.as_ref().ok();
        let binding = pick.map(|pick| Binding {
            outcome: pick.binding_outcome.as_str(),
            reason: match pick.binding_outcome {
                BindingOutcome::Missed(missed) => Some(missed.to_string()),
                _ => None,
            },
        });
        Self {
            pool,
            strategy,
            revision: pick.map(|pick| pick.revision.get()),
            picked,
            error,
            binding,
            steps: &answer.steps,
            candidates: pick.map_or(Vec::new(), |pick| pick.candidates.iter().map(candidate).collect()),
            text: answer.to_string(),
        }
    }
}

fn candidate(Candidate { status, score, result, .. }: &Candidate) -> ExplainedCandidate<'_> {
    ExplainedCandidate {
        id: status.id.as_str(),
        address: &status.address,
        availability: status.availability,
        tier: status.tier.get(),
        weight: status.weight,
        in_flight: status.in_flight,
        max_in_flight: status.max_in_flight,
        score: score.filter(|score| score.is_finite()),
        result: result.as_str(),
        reason: reason(*result),
    }
}

/// Returns a result in words.
fn reason(result: CandidateResult) -> String {
    let words = match result {
        CandidateResult::Picked => "the strategy picks it",
        CandidateResult::Preferred => "the request is bound to it",
        CandidateResult::StandIn => "replaces the endpoint to which the request is bound",
        CandidateResult::Outscored => "another endpoint has a lower score",
        CandidateResult::NotConsidered => "usable, but the strategy did not compare it",
        CandidateResult::Excluded => "the request excludes it",
        CandidateResult::Full => "at its limit of requests in flight",
        CandidateResult::OnProbation => "on probation: its only request has been sent",
        CandidateResult::Failing => "its last requests failed, and it has had its share of requests",
        CandidateResult::FilteredOut => "an outer strategy leaves it out for this request",
        CandidateResult::NoWeight => "its weight is 0",
        CandidateResult::Draining => "draining: serves only requests that are bound to it",
        CandidateResult::Unhealthy => "unhealthy",
        CandidateResult::Maintenance => "in maintenance",
        other => return other.to_string(),
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(query: &str) -> ExplainQuestion {
        read(query).expect("a question").1
    }

    #[test]
    fn the_form_becomes_a_request() {
        let (pool, question) = read(
            "pool=a%26b&method=POST&path=/x%3Fy%3D1&host=app.test&header=X-User:%20ada&header=X-User:bob&\
             cookie=s%3D1&cookie=t%3D2&client=2001:db8::1&key=k%20%C3%A9",
        )
        .expect("a question");
        assert_eq!(pool.as_deref(), Some("a&b"));
        let request = &question.request;
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("POST", "/x?y=1"));
        let all = |name: &str| request.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(all("host"), ["app.test"]);
        assert_eq!(all("x-user"), ["ada", "bob"]);
        assert_eq!(all("cookie"), ["s=1", "t=2"]);
        assert_eq!(question.client, "2001:db8::1".parse().ok());
        assert_eq!(question.key.as_deref(), Some("k é".as_bytes()));
    }

    #[test]
    fn fields_that_are_left_empty_are_ignored() {
        let question = question("method=&path=&host=&header=&cookie=&client=&key=");
        assert_eq!((question.request.method(), question.request.uri().path()), (&Method::GET, "/"));
        assert!(question.request.headers().is_empty() && question.client.is_none() && question.key.is_none());
    }

    #[test]
    fn wrong_parameters_are_refused_with_what_would_be_right() {
        for (query, right) in [
            ("user=ada", "the parameters are pool=NAME"),
            ("method=A%20B", "such as GET"),
            ("path=x", "use one such as /"),
            ("path=*", "use one such as /"),
            ("path=/a%20b", "spaces as %20"),
            ("host=a%0D%0Ax", "control characters"),
            ("header=x", "use NAME: VALUE"),
            ("header=a%20b:c", "letters, digits and hyphens"),
            ("header=a:b%0D%0AX-Admin:1", "control characters"),
            ("header=a%0D%0Ab:c", "letters, digits and hyphens"),
            ("cookie=a%00", "control characters"),
            ("client=192.0.2.1:80", "without a port"),
            ("client=localhost", "192.0.2.1"),
        ] {
            let error = read(query).expect_err(query);
            assert!(error.contains(right), "{query}: {error}");
            assert!(!error.contains(['\r', '\n', '\0']), "{query}: {error}");
        }
    }

    #[test]
    fn any_number_of_headers_is_read_or_refused() {
        let query: String = (0..40_000).map(|index| format!("header=x{index}:1&")).collect();
        assert!(read(&query).expect_err("too many").contains("too many headers"));
    }
}
