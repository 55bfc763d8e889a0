//! What the error of an attempt means: how far the request got, and whether it may be sent to another endpoint.

use std::{error::Error, io, sync::Arc};

use equipoise_core::Verdict;

use crate::{
    error::{AttemptTimedOut, Error as Balanced, FailureStage, NotSent},
    guard::guarded,
};

/// What the error of an attempt means: how far the request got, what counts against the endpoint, and whether the request
/// may be sent to another one.
///
/// [`of`](Self::of) is the default. A [`Classify`](crate::Classify) can decide otherwise.
///
/// ```
/// use equipoise_tower::{ErrorClass, HttpProtocol, Retryable};
///
/// // Idempotent requests that timed out go to another endpoint.
/// let http = HttpProtocol::new().classify_error(|error| match ErrorClass::of(error) {
///     class if class.stage == equipoise_tower::FailureStage::TimedOut => class.retry(Retryable::IfIdempotent),
///     class => class,
/// });
/// # drop(http);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorClass {
    /// How far the request got. Decides the [status](crate::Error::status) of a request that fails in the end.
    pub stage: FailureStage,
    /// What is recorded for the endpoint.
    pub verdict: Verdict,
    /// Whether the request may be sent to another endpoint.
    pub retry: Retryable,
}

/// Whether a request may be sent to another endpoint after an error. In every case, only if its body can be
/// [sent again](crate::Replay), and within [`max_attempts`](crate::Balance::max_attempts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retryable {
    /// No.
    Never,
    /// Only if sending it twice is as good as sending it once: see [`Protocol::is_idempotent`](crate::Protocol::is_idempotent).
    IfIdempotent,
    /// Yes. Right if the endpoint has not processed the request.
    Always,
}

impl Retryable {
    /// The permission as a stable label for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfIdempotent => "if_idempotent",
            Self::Always => "always",
        }
    }
}

impl ErrorClass {
    /// The class of an error by its [stage](FailureStage::of): see [`new`](Self::new). An [`AttemptTimedOut`] is retried if
    /// the request is idempotent.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let class = Self::new(FailureStage::of(error));
        if error.is::<AttemptTimedOut>() { class.retry(Retryable::IfIdempotent) } else { class }
    }

    /// The class of an error of this stage:
    ///
    /// | stage | verdict | retry |
    /// | --- | --- | --- |
    /// | [`NotSent`](FailureStage::NotSent) | failure to connect | always |
    /// | [`Overloaded`](FailureStage::Overloaded) | overloaded | always |
    /// | [`NoResponse`](FailureStage::NoResponse) | transport failure | if idempotent |
    /// | [`TimedOut`](FailureStage::TimedOut) | timeout | never |
    /// | [`Caller`](FailureStage::Caller) | neutral | never |
    /// | [`Other`](FailureStage::Other) | transport failure | never |
    pub fn new(stage: FailureStage) -> Self {
        let retry = match stage {
            FailureStage::NotSent | FailureStage::Overloaded => Retryable::Always,
            FailureStage::NoResponse => Retryable::IfIdempotent,
            FailureStage::TimedOut | FailureStage::Caller | FailureStage::Other => Retryable::Never,
        };
        Self { stage, verdict: stage.verdict(), retry }
    }

    /// The same class with another verdict.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// The same class with another answer to whether the request may be sent to another endpoint.
    #[must_use]
    pub fn retry(mut self, retry: Retryable) -> Self {
        self.retry = retry;
        self
    }
}

/// A user's closure that classifies errors.
#[derive(Clone)]
pub(crate) struct ErrorClassifier(Arc<ClassifyFn>);

type ClassifyFn = dyn Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync;

impl ErrorClassifier {
    pub(crate) fn new(classify: impl Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync + 'static) -> Self {
        Self(Arc::new(classify))
    }

    /// Returns the class of an error. If the closure panics, that is [`ErrorClass::of`].
    pub(crate) fn class(&self, error: &(dyn Error + 'static)) -> ErrorClass {
        guarded(|| (self.0)(error)).unwrap_or_else(|| ErrorClass::of(error))
    }
}

impl FailureStage {
    /// Returns the stage of an error, by its type and by its causes. Recognised are errors of [`std::io`], tokio's time-outs,
    /// [`NotSent`], [`AttemptTimedOut`] and errors of a nested balancer; with the feature `hyper` those of hyper and
    /// hyper-util's client, on which reqwest and tonic are built; with `http2` those of h2; and with `tower`, `reqwest` and
    /// `tonic` those of these crates. Any other error is [`Other`](Self::Other).
    ///
    /// A bare `reqwest::Error` is never [`NotSent`](Self::NotSent): reqwest's client follows redirects by default, and its
    /// errors do not tell which of the requests failed. Nor is the error of a nested balancer, if an endpoint may have
    /// processed the request in an attempt before the last one.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut stage = Self::Other;
        let mut known = Known::default();
        let mut next = Some(error);
        while let Some(error) = next {
            // The innermost error counts, except for these: they are certain wherever they occur.
            match known.stage(error) {
                Some(settled @ (Self::NotSent | Self::Overloaded | Self::Caller)) => return settled,
                Some(found) => stage = found,
                None => {}
            }
            // `source` of an `io::Error` skips the error that it was made from.
            let made_from = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = made_from.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source());
        }
        stage
    }
}

/// What is known from the outer errors.
#[derive(Default)]
struct Known {
    /// There was a connection, so an I/O error is not one of connecting.
    connected: bool,
    /// There may have been requests before the one that failed, and an endpoint may have processed them.
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
        if let Some(error) = error.downcast_ref::<crate::error::ReqwestError>() {
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
        if error.is::<tokio::time::error::Elapsed>() || error.is::<AttemptTimedOut>() {
            return Some(FailureStage::TimedOut);
        }
        // No endpoint can serve such a request.
        if let Some(Balanced::Unsupported(_)) = error.downcast_ref() {
            return Some(FailureStage::Caller);
        }
        // A retry of a balancer below has failed. Its error says nothing about the attempts before it.
        if let Some(
            Balanced::Endpoint { maybe_processed: true, .. } | Balanced::Address { maybe_processed: true, .. },
        ) = error.downcast_ref()
        {
            self.several = true;
        }
        // The latter: a balancer below found no endpoint for the request.
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
/// | kind | source | stage |
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
/// | kind | when | stage |
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
/// | error | stage |
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
