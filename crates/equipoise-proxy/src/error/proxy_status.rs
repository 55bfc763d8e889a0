use std::{error::Error, io};

use equipoise_tower::{AttemptTimedOut, Error as Balanced, FailureStage};
use http::HeaderValue;

use super::{ProxyError, balance_error};
use crate::check::{InvalidResponse, Refusal};

/// The field `Proxy-Status` (RFC 9209) of error responses. It tells clients which proxy failed, and why.
///
/// ```
/// use equipoise_proxy::error::{ProxyError, ProxyStatus};
///
/// let status = ProxyStatus::new("edge-1").unwrap();
/// assert_eq!(status.of(&ProxyError::HeadTimeout), "edge-1; error=http_response_timeout");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyStatus {
    name: Box<str>,
}

impl ProxyStatus {
    /// Creates the field for a proxy with this name. Returns `None` unless the name begins with a letter and consists
    /// of letters, digits, `-`, `_` and `.`.
    pub fn new(name: &str) -> Option<Self> {
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let begins = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        (begins && name.bytes().all(is_valid)).then(|| Self { name: name.into() })
    }

    /// Returns the value of the field for an error.
    pub fn of(&self, error: &ProxyError) -> HeaderValue {
        let value = format!("{}; error={}", self.name, kind(error));
        HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("proxy"))
    }
}

/// Returns the error type of RFC 9209, section 2.3.
fn kind(error: &ProxyError) -> &'static str {
    match error {
        ProxyError::Refused(Refusal::Loop) => "proxy_loop_detected",
        ProxyError::Refused(Refusal::Trace | Refusal::Connect) => "http_request_denied",
        ProxyError::Refused(_) | ProxyError::RequestBody(_) => "http_request_error",
        ProxyError::InvalidResponse(InvalidResponse::Unrequested | InvalidResponse::NotSwitched) => {
            "http_upgrade_failed"
        }
        ProxyError::InvalidResponse(_) => "http_protocol_error",
        ProxyError::HeadTimeout | ProxyError::TotalTimeout => "http_response_timeout",
        ProxyError::NoHost | ProxyError::NoRoute => "destination_not_found",
        #[cfg(feature = "forward")]
        ProxyError::Forward(error) => error.proxy_status(),
        ProxyError::Service(error) => of_service(&**error),
    }
}

fn of_service(error: &(dyn Error + 'static)) -> &'static str {
    let stage = match balance_error(error) {
        Some(Balanced::Pick(_)) => return "destination_unavailable",
        Some(Balanced::Address { .. }) => return "proxy_configuration_error",
        Some(Balanced::Unsupported(_)) => return "proxy_internal_error",
        Some(Balanced::Endpoint { stage, .. }) => *stage,
        _ => FailureStage::of(error),
    };
    match stage {
        FailureStage::NotSent => causes(error).find_map(of_connect).unwrap_or("destination_unavailable"),
        FailureStage::Overloaded => "connection_limit_reached",
        FailureStage::NoResponse => "connection_terminated",
        FailureStage::TimedOut => "http_response_timeout",
        FailureStage::Caller => "http_request_error",
        // An error of HTTP's client is about what the endpoint sent. Any other is one of a service in this process.
        _ if causes(error).any(<dyn Error + 'static>::is::<hyper::Error>) => "http_protocol_error",
        _ => "proxy_internal_error",
    }
}

/// Returns why no connection was made, if this cause tells it.
fn of_connect(cause: &(dyn Error + 'static)) -> Option<&'static str> {
    if is_name_not_found(cause) {
        return Some("dns_error");
    }
    if cause.is::<AttemptTimedOut>() || cause.is::<tokio::time::error::Elapsed>() {
        return Some("connection_timeout");
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some("connection_refused"),
        io::ErrorKind::TimedOut => Some("connection_timeout"),
        // Errors of rustls are of this kind. Nothing else reads data before the request is sent.
        io::ErrorKind::InvalidData => Some("tls_protocol_error"),
        _ => None,
    }
}

/// Returns whether a name could not be resolved. Neither std nor hyper-util has a type or kind for this, so the
/// messages are compared. If they change, the error type becomes `destination_unavailable`.
fn is_name_not_found(cause: &(dyn Error + 'static)) -> bool {
    let message = cause.to_string();
    message == "dns error" || message.starts_with("failed to lookup address information")
}

/// The error, its cause, the cause of its cause, and so on.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let all = std::iter::successors(Some(error), |&error| {
        // `source` of an `io::Error` skips the error that the `io::Error` contains.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source())
    });
    all.take(32)
}

#[cfg(test)]
mod tests {
    use equipoise_core::PickError;
    use equipoise_tower::NotSent;

    use super::*;

    fn of(error: impl Into<equipoise_tower::BoxError>) -> String {
        let value = ProxyStatus::new("edge").expect("a name").of(&ProxyError::of_service(error.into()));
        value.to_str().expect("ASCII").strip_prefix("edge; error=").expect("the name").to_owned()
    }

    #[test]
    fn the_error_type_tells_why_no_connection_was_made() {
        let io = |kind: io::ErrorKind| NotSent::new(io::Error::from(kind));
        assert_eq!(of(io::Error::from(io::ErrorKind::ConnectionRefused)), "connection_refused");
        assert_eq!(of(io(io::ErrorKind::ConnectionRefused)), "connection_refused");
        assert_eq!(of(io(io::ErrorKind::TimedOut)), "connection_timeout");
        assert_eq!(of(io(io::ErrorKind::InvalidData)), "tls_protocol_error");
        assert_eq!(of(io(io::ErrorKind::AddrNotAvailable)), "destination_unavailable");
        assert_eq!(of(Balanced::from(PickError::Empty)), "destination_unavailable");
        let unknown = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(of(NotSent::new(unknown)), "dns_error");
    }

    #[test]
    fn the_error_type_tells_who_failed_later() {
        assert_eq!(of(io::Error::from(io::ErrorKind::ConnectionReset)), "connection_terminated");
        assert_eq!(of(io::Error::from(io::ErrorKind::TimedOut)), "http_response_timeout");
        assert_eq!(of("a bug"), "proxy_internal_error");
        let status = ProxyStatus::new("edge").expect("a name");
        for (invalid, kind) in [
            (InvalidResponse::NotSwitched, "http_upgrade_failed"),
            (InvalidResponse::Unrequested, "http_upgrade_failed"),
            (InvalidResponse::Interim, "http_protocol_error"),
        ] {
            assert_eq!(status.of(&ProxyError::InvalidResponse(invalid)), format!("edge; error={kind}"));
        }
    }
}
