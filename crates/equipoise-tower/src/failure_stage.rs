use std::{error::Error, io};

use equipoise_core::{Failure, Verdict};

use crate::error::Error as Balanced;

/// How far a failed request got.
///
/// Everything here is about one request to one endpoint. A client or a layer **below** the balancer that sends further
/// requests by itself breaks that: its last error says nothing about the requests before it. A redirect that is followed
/// to a host that does not exist ends with "not connected", although the first request was processed; so does a retry.
/// Therefore redirects (tower-http's `FollowRedirect`) and retries (`tower::retry`) belong **above** the balancer, where
/// each request that they send is balanced again. `ReqwestService` (feature `reqwest`) switches off those of reqwest.
/// hyper-util's client may stay as it is: it repeats only requests that were not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureStage {
    /// The request never reached the endpoint, or the endpoint says that it did not process it: connection refused, name
    /// not found, handshake failed, HTTP/2 stream refused or above the last stream of a GOAWAY (RFC 9113, 6.8 and 8.7).
    /// Any request whose body is untouched may go elsewhere, whatever its method.
    NotSent,
    /// A limit in front of the endpoint turned the request away before it was sent (`tower::load_shed`). Any request whose
    /// body is untouched may go elsewhere. Counts as [`Verdict::Overloaded`], which ejects no endpoint.
    Overloaded,
    /// The connection was lost before an answer began. The endpoint may have acted on the request; an idempotent one may go
    /// elsewhere.
    NoResponse,
    /// Time ran out. The request is not sent again, lest what is slow is done twice. A time-out under the balancer that is
    /// to send idempotent requests elsewhere, as nginx does, says that it gave up the connection:
    /// [`io::ErrorKind::ConnectionAborted`].
    TimedOut,
    /// The caller's own doing: its request body failed, or the client refuses to send such a request. Nothing is held
    /// against the endpoint, and the request is not sent again.
    Caller,
    /// Something else; the request is not sent again.
    Other,
}

impl FailureStage {
    /// What such an end says of the endpoint.
    pub(crate) fn verdict(self) -> Verdict {
        Verdict::Failure(match self {
            Self::NotSent => Failure::Connect,
            Self::TimedOut => Failure::Timeout,
            Self::NoResponse | Self::Other => Failure::Transport,
            Self::Overloaded => return Verdict::Overloaded { retry_after: None },
            Self::Caller => return Verdict::Neutral,
        })
    }

    /// Whether the endpoint has not seen the request, so that any request may go elsewhere.
    pub(crate) fn is_unsent(self) -> bool {
        matches!(self, Self::NotSent | Self::Overloaded)
    }

    /// Reads it off an error and its causes: errors of [`std::io`], tokio's time-outs, [`NotSent`], and with the features of
    /// these names those of hyper and hyper-util's client (on which reqwest and tonic stand), of h2 (`http2`), of tower's
    /// layers (`tower`), of reqwest and of tonic.
    ///
    /// A bare `reqwest::Error` is never [`NotSent`](Self::NotSent): reqwest's client follows redirects unless told not
    /// to, and its errors name the first URL whichever request failed.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut stage = Self::Other;
        let mut known = Known::default();
        let mut next = Some(error);
        while let Some(error) = next {
            // An error further down is nearer to the cause, but these settle it wherever they stand.
            match known.stage(error) {
                Some(settled @ (Self::NotSent | Self::Overloaded | Self::Caller)) => return settled,
                Some(found) => stage = found,
                None => {}
            }
            // `source` of an `io::Error` passes over the error that it was made from.
            let made_from = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = made_from.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source());
        }
        stage
    }
}

/// What the errors further up have said about those below.
#[derive(Default)]
struct Known {
    /// There was a connection, so an I/O error is not one of connecting.
    connected: bool,
    /// There may have been requests before the one that failed.
    several: bool,
}

impl Known {
    fn stage(&mut self, error: &(dyn Error + 'static)) -> Option<FailureStage> {
        let stage = self.one(error);
        if self.several && stage.is_some_and(FailureStage::is_unsent) { Some(FailureStage::NoResponse) } else { stage }
    }

    fn one(&mut self, error: &(dyn Error + 'static)) -> Option<FailureStage> {
        #[cfg(feature = "hyper")]
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return legacy(error);
        }
        #[cfg(feature = "hyper")]
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            self.connected = true;
            return hyper(error);
        }
        #[cfg(feature = "http2")]
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            self.connected = true;
            return h2(error);
        }
        #[cfg(feature = "reqwest")]
        if let Some(error) = error.downcast_ref::<crate::reqwest::ReqwestError>() {
            return reqwest(error.get_ref());
        }
        #[cfg(feature = "reqwest")]
        if let Some(error) = error.downcast_ref::<::reqwest::Error>() {
            self.several = true;
            return reqwest(error);
        }
        #[cfg(feature = "tower")]
        if error.is::<tower::load_shed::error::Overloaded>() {
            return Some(FailureStage::Overloaded);
        }
        #[cfg(feature = "tower")]
        if error.is::<tower::timeout::error::Elapsed>() {
            return Some(FailureStage::TimedOut);
        }
        #[cfg(feature = "tonic")]
        if error.is::<tonic::ConnectError>() {
            return Some(FailureStage::NotSent);
        }
        #[cfg(feature = "tonic")]
        if error.is::<tonic::TimeoutExpired>() {
            return Some(FailureStage::TimedOut);
        }
        if error.is::<tokio::time::error::Elapsed>() {
            return Some(FailureStage::TimedOut);
        }
        // No endpoint can take such a request, and none is to blame.
        if let Some(Balanced::Unsupported(_)) = error.downcast_ref() {
            return Some(FailureStage::Caller);
        }
        // The latter: a balancer further in that found no endpoint for it.
        if error.is::<NotSent>() || matches!(error.downcast_ref(), Some(Balanced::Pick(_) | Balanced::Address { .. })) {
            return Some(FailureStage::NotSent);
        }
        self.io(error.downcast_ref::<io::Error>()?.kind())
    }

    /// The kinds that an established connection may end with too are not taken for a failed connect, even where none is
    /// known: routes vanish (`EHOSTUNREACH`, `ENETUNREACH`, `ENETDOWN`) while an answer is awaited.
    fn io(&self, kind: io::ErrorKind) -> Option<FailureStage> {
        match kind {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::AddrNotAvailable if !self.connected => {
                Some(FailureStage::NotSent)
            }
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Some(FailureStage::NoResponse),
            io::ErrorKind::TimedOut => Some(FailureStage::TimedOut),
            _ => None,
        }
    }
}

/// hyper-util 0.1.21, all kinds of its client's errors:
///
/// | kind | source | reach |
/// | --- | --- | --- |
/// | `Connect` | of the connector, or none | never sent |
/// | `Canceled` | `hyper::Error`, cancelled | by the source: never sent |
/// | `Canceled` | none, or a text | not seen outside: the client waits for the connection that another request opens |
/// | `ChannelClosed` | `hyper::Error` | not seen outside: the pool's |
/// | `SendRequest` | `hyper::Error` | by the source |
/// | `UserUnsupportedRequestMethod`, `UserUnsupportedVersion`, `UserAbsoluteUriRequired` | none | the caller's |
#[cfg(feature = "hyper")]
fn legacy(error: &hyper_util::client::legacy::Error) -> Option<FailureStage> {
    match error {
        _ if error.is_connect() => Some(FailureStage::NotSent),
        _ if error.source().is_none() => Some(FailureStage::Caller),
        _ => None,
    }
}

/// hyper 1.12, all kinds of errors that it attributes to the user ([`hyper::Error::is_user`]):
///
/// | kind | when | reach |
/// | --- | --- | --- |
/// | `Body` | the request's body failed | the caller's |
/// | `BodyWriteAborted` | the request's body ended before its `content-length` | the caller's |
/// | `InvalidConnectWithBody` | HTTP/2 CONNECT with a `content-length` | the caller's |
/// | `DispatchGone` | the task that drives the connection was dropped, has panicked, or ended with an HTTP/2 request that waited for a free stream | connection lost |
/// | `AbortedByCallback` | C API only | the caller's |
/// | `NoUpgrade`, `ManualUpgrade` | upgrades, after the answer | not seen here |
/// | `Service`, `UnexpectedHeader`, `UnsupportedStatusCode` | servers only | not seen here |
#[cfg(feature = "hyper")]
fn hyper(error: &hyper::Error) -> Option<FailureStage> {
    match error {
        _ if error.is_user() && is_dispatch_gone(error) => Some(FailureStage::NoResponse),
        _ if error.is_user() => Some(FailureStage::Caller),
        _ if error.is_timeout() => Some(FailureStage::TimedOut),
        // hyper cancels only what it has not begun to send.
        _ if error.is_canceled() => Some(FailureStage::NotSent),
        _ if error.is_incomplete_message() || error.is_closed() => Some(FailureStage::NoResponse),
        _ => None,
    }
}

/// hyper has no other way to tell. Its message is that of the kind alone, so no caller's text can look like it. Should the
/// message change, such an error counts as the caller's, and the test on a real connection fails.
#[cfg(feature = "hyper")]
fn is_dispatch_gone(error: &hyper::Error) -> bool {
    error.to_string() == "dispatch task is gone"
}

/// h2 0.4:
///
/// | error | reach |
/// | --- | --- |
/// | GOAWAY received | the stream is above its last one: never processed (RFC 9113, 6.8) |
/// | RST_STREAM received with `REFUSED_STREAM` | never processed (RFC 9113, 8.7) |
/// | GOAWAY sent, I/O | connection lost, also for streams that a received GOAWAY covers |
/// | RST_STREAM sent by hyper | the request's body failed: the caller's |
/// | a request that h2 refuses | the caller's |
/// | any other RST_STREAM | something else |
#[cfg(feature = "http2")]
fn h2(error: &h2::Error) -> Option<FailureStage> {
    match error.reason() {
        _ if error.is_go_away() && error.is_remote() => Some(FailureStage::NotSent),
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Some(FailureStage::NotSent),
        _ if error.is_go_away() || error.is_io() => Some(FailureStage::NoResponse),
        Some(_) if error.is_reset() && !error.is_remote() && !error.is_library() => Some(FailureStage::Caller),
        // Neither a reason nor I/O.
        None => Some(FailureStage::Caller),
        Some(_) => None,
    }
}

#[cfg(feature = "reqwest")]
fn reqwest(error: &::reqwest::Error) -> Option<FailureStage> {
    // A URL or scheme that it does not send to.
    let refused = error.is_builder().then_some(FailureStage::Caller);
    refused.or(error.is_timeout().then_some(FailureStage::TimedOut))
}

/// Marks an error as one of a request that never reached its endpoint, so that it may go elsewhere: for services of
/// your own.
///
/// ```
/// use equipoise_tower::{NotSent, FailureStage};
///
/// let error = NotSent::new("the circuit is open");
/// assert_eq!(FailureStage::of(&error), FailureStage::NotSent);
/// ```
#[derive(Debug, thiserror::Error)]
#[error("the request was not sent")]
pub struct NotSent {
    source: crate::error::BoxError,
}

impl NotSent {
    /// Because of `source`.
    pub fn new(source: impl Into<crate::error::BoxError>) -> Self {
        Self { source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("wrapped")]
    struct Wrapped(#[source] io::Error);

    #[test]
    fn the_cause_is_found_below_other_errors() {
        for (kind, stage) in [
            (io::ErrorKind::ConnectionRefused, FailureStage::NotSent),
            (io::ErrorKind::ConnectionReset, FailureStage::NoResponse),
            // An established connection may end so too.
            (io::ErrorKind::HostUnreachable, FailureStage::NoResponse),
            (io::ErrorKind::NetworkUnreachable, FailureStage::NoResponse),
            (io::ErrorKind::NetworkDown, FailureStage::NoResponse),
            (io::ErrorKind::TimedOut, FailureStage::TimedOut),
            (io::ErrorKind::InvalidData, FailureStage::Other),
        ] {
            assert_eq!(FailureStage::of(&Wrapped(kind.into())), stage);
        }
    }

    #[test]
    fn an_io_error_made_from_another_is_looked_into() {
        let error = io::Error::other(NotSent::new("the circuit is open"));
        assert_eq!(FailureStage::of(&Wrapped(error)), FailureStage::NotSent);
    }
}
