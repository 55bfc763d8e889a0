//! Any request to a status page: every response protects the page, nothing of the request becomes a header or ends a
//! message, and only a request with the token and an operator changes an endpoint.

#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use equipoise_core::{Availability, EndpointSpec, Pool};
use equipoise_health::Health;
use equipoise_monitor::{
    Monitor, WatchedPool,
    page::{Operator, Refused, StatusPage},
};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use libfuzzer_sys::fuzz_target;
use tower::ServiceExt;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    mount: &'a str,
    id: &'a str,
    method: Verb<'a>,
    path: Target<'a>,
    fields: Vec<(Name<'a>, &'a [u8])>,
    has_token: bool,
    is_operator: bool,
    body: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Verb<'a> {
    Get,
    Head,
    Post,
    Other(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Target<'a> {
    /// Below the path of the page.
    Known(u8, &'a str),
    Other(&'a [u8]),
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Known(u8),
    Other(&'a [u8]),
}

const PATHS: [&str; 8] =
    ["", "status.json", "updates", "explain", "endpoints", "assets/page.js", "assets/icon.svg", "assets/../x"];

const FIELDS: [&str; 10] = [
    "host",
    "accept",
    "origin",
    "sec-fetch-site",
    "if-none-match",
    "content-type",
    "content-length",
    "x-csrf-token",
    "x-operator",
    "authorization",
];

fn request(input: &Input<'_>, mount: &str) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::from(input.body.to_vec()));
    *request.method_mut() = match input.method {
        Verb::Get => Method::GET,
        Verb::Head => Method::HEAD,
        Verb::Post => Method::POST,
        Verb::Other(method) => Method::from_bytes(method).ok()?,
    };
    *request.uri_mut() = match &input.path {
        Target::Known(path, query) => {
            let path = PATHS[usize::from(*path) % PATHS.len()];
            let query: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
            // So that parameters are not one long name.
            let query = query.replace("%3D", "=").replace("%26", "&");
            Uri::try_from(format!("{mount}{path}?{query}")).ok()?
        }
        Target::Other(target) => Uri::try_from(*target).ok()?,
    };
    for (name, value) in &input.fields {
        let name = match name {
            Name::Known(known) => HeaderName::from_static(FIELDS[usize::from(*known) % FIELDS.len()]),
            Name::Other(name) => HeaderName::from_bytes(name).ok()?,
        };
        request.headers_mut().try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
    }
    Some(request)
}

async fn run(input: &Input<'_>) {
    let health = Health::builder().seed(1).build().expect("no settings");
    let pool: Pool<()> = Pool::default();
    let _checking = health.spawn(&pool);
    let spec = EndpointSpec::new("10.0.0.1:80").with_id(input.id);
    if pool.add(spec, ()).is_err() {
        return;
    }
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", &pool).health(&health));
    let page = StatusPage::new(&monitor).at(input.mount).allow_changes(|head| {
        match head.headers.get("x-operator") {
            Some(name) if name == "fuzz" => Ok(Operator::new("fuzz")),
            _ => Err(Refused::unauthenticated("page")),
        }
    });
    let mount = format!("/{}/", input.mount.trim_matches('/')).replace("//", "/");
    let Some(mut request) = request(input, &mount) else { return };
    // The token is in the state, which is read without a host.
    let state = Uri::try_from(format!("{mount}status.json")).ok().map(|uri| {
        let mut request = Request::new(Full::<Bytes>::default());
        *request.uri_mut() = uri;
        page.clone().oneshot(request)
    });
    let mut token = String::new();
    if let Some(state) = state {
        let state = state.await.expect("no error").into_body().collect().await.expect("no error").to_bytes();
        if let Ok(state) = serde_json::from_slice::<serde_json::Value>(&state) {
            assert_eq!(state["pools"][0]["endpoints"][0]["id"], input.id);
            token = state["csrf_token"].as_str().expect("a token").to_owned();
        }
    }
    if input.has_token && !token.is_empty() {
        request.headers_mut().insert("x-csrf-token", token.parse().expect("a token"));
    }
    if input.is_operator {
        request.headers_mut().insert("x-operator", HeaderValue::from_static("fuzz"));
    }
    let headers = request.headers();
    let may_change = request.method() == Method::POST
        && headers.get("x-csrf-token").is_some_and(|sent| !token.is_empty() && *sent == *token)
        && headers.get("x-operator").is_some_and(|name| name == "fuzz")
        && headers.get_all("sec-fetch-site").iter().all(|site| site == "same-origin");
    let response = page.oneshot(request).await.expect("no error");
    let (head, mut body) = response.into_parts();
    for name in ["content-security-policy", "x-content-type-options", "referrer-policy", "cross-origin-resource-policy"] {
        assert!(head.headers.contains_key(name), "{name}");
    }
    if let Some(location) = head.headers.get("location") {
        assert!(location.as_bytes().starts_with(b"./"), "{location:?}");
    }
    let content_type = head.headers["content-type"].as_bytes();
    let first = body.frame().await.map(|frame| frame.expect("no error").into_data().expect("data"));
    match (content_type, first) {
        (b"text/event-stream", Some(message)) => {
            let message = std::str::from_utf8(&message).expect("UTF-8");
            assert!(message.ends_with("\n\n") && message.matches("\n\n").count() == 1 && !message.contains('\r'));
        }
        (b"application/json", Some(json)) => {
            serde_json::from_slice::<serde_json::Value>(&json).expect("JSON");
            assert!(!json.contains(&b'<'));
        }
        _ => {}
    }
    let changed = pool.availability(input.id) != Some(Availability::Up);
    assert!(!changed || may_change, "changed without permission");
}

fuzz_target!(|input: Input<'_>| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(run(&input));
});
