use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;

use crate::page::reply::Problem;

/// The length of the longest body. A command has two names of at most 255 bytes.
const MAX_BODY: usize = 4 * 1024;

/// How long a client may take to send the body.
const TIMEOUT: Duration = Duration::from_secs(5);

const USAGE: &str = "send {\"pool\": NAME, \"endpoint\": ID, \"state\": \"ready\", \"drain\" or \"maintenance\"} as \
                     application/json, or the same fields as application/x-www-form-urlencoded";

/// A change of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::page) struct Command {
    pub(in crate::page) pool: String,
    pub(in crate::page) endpoint: String,
    pub(in crate::page) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::page) enum State {
    Ready,
    Drain,
    Maintenance,
}

impl State {
    pub(in crate::page) const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Ready, Self::Drain, Self::Maintenance].into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Clone, Copy)]
enum Format {
    Json,
    Form,
}

impl Command {
    /// Reads the command from the body of a request.
    pub(in crate::page) async fn receive<B>(headers: &HeaderMap, body: B) -> Result<Self, Problem>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let format = format(headers)?;
        let body = match tokio::time::timeout(TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body has more than 4 KiB"));
            }
            Ok(Err(_)) => return Err(Problem::bad("the body has ended early")),
            Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body took longer than 5 s")),
        };
        match format {
            Format::Json => serde_json::from_slice(&body).map_err(|error| Problem::bad(format!("{error}: {USAGE}"))),
            Format::Form => Self::from_form(&body).map_err(|error| Problem::bad(format!("{error}: {USAGE}"))),
        }
    }

    fn from_form(form: &Bytes) -> Result<Self, String> {
        let (mut pool, mut endpoint, mut state) = (None, None, None);
        for (name, value) in form_urlencoded::parse(form) {
            let is_second = match &*name {
                "pool" => pool.replace(value.into_owned()).is_some(),
                "endpoint" => endpoint.replace(value.into_owned()).is_some(),
                "state" => {
                    let parsed = State::parse(&value).ok_or_else(|| format!("there is no state {value:?}"))?;
                    state.replace(parsed).is_some()
                }
                _ => return Err(format!("there is no field {name:?}")),
            };
            if is_second {
                return Err(format!("the field {name:?} occurs twice"));
            }
        }
        let missing = |name: &str| format!("the field {name:?} is missing");
        Ok(Self {
            pool: pool.ok_or_else(|| missing("pool"))?,
            endpoint: endpoint.ok_or_else(|| missing("endpoint"))?,
            state: state.ok_or_else(|| missing("state"))?,
        })
    }
}

fn format(headers: &HeaderMap) -> Result<Format, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(Format::Json)
    } else if media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(Format::Form)
    } else {
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, USAGE))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
    };

    use http::HeaderValue;
    use http_body_util::Full;

    use super::*;

    /// A body of which nothing arrives.
    struct Endless;

    impl Body for Endless {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            Poll::Pending
        }
    }

    async fn receive(content_type: &'static str, body: impl Into<Bytes>) -> Result<Command, u16> {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Command::receive(&headers, Full::new(body.into())).await.map_err(|problem| problem.status.as_u16())
    }

    #[tokio::test]
    async fn a_command_is_json_or_a_form() {
        let command = Command { pool: "a&b".to_owned(), endpoint: "é".to_owned(), state: State::Drain };
        let json = r#"{"pool": "a&b", "endpoint": "\u00e9", "state": "drain"}"#;
        assert_eq!(receive("application/json; charset=utf-8", json).await, Ok(command.clone()));
        let form = "state=drain&pool=a%26b&endpoint=%C3%A9";
        assert_eq!(receive("Application/x-www-form-urlencoded", form).await, Ok(command));
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for (content_type, body, status) in [
            ("text/plain", r#"{"pool": "a", "endpoint": "b", "state": "drain"}"#, 415),
            ("application/json", "", 400),
            ("application/json", "[]", 400),
            ("application/json", r#"{"pool": "a", "endpoint": "b"}"#, 400),
            ("application/json", r#"{"pool": "a", "endpoint": "b", "state": "down"}"#, 400),
            ("application/json", r#"{"pool": "a", "endpoint": "b", "state": "drain", "force": true}"#, 400),
            ("application/json", r#"{"pool": "a", "pool": "b", "endpoint": "b", "state": "drain"}"#, 400),
            (FORM, "", 400),
            (FORM, "pool=a&endpoint=b", 400),
            (FORM, "pool=a&endpoint=b&state=Ready", 400),
            (FORM, "pool=a&endpoint=b&state=ready&x=1", 400),
            (FORM, "pool=a&endpoint=b&endpoint=c&state=ready", 400),
        ] {
            assert_eq!(receive(content_type, body).await, Err(status), "{body}");
        }
        assert_eq!(receive(FORM, vec![b'x'; MAX_BODY + 1]).await, Err(413));
        // A deep structure overflows no stack.
        assert_eq!(receive("application/json", "[".repeat(MAX_BODY)).await, Err(400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_refused() {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let problem = Command::receive(&headers, Endless).await.expect_err("a timeout");
        assert_eq!(problem.status, StatusCode::REQUEST_TIMEOUT);
    }
}
