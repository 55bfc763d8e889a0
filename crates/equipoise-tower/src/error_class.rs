//! Classifies the error of an attempt: how far the request got, which verdict the endpoint gets, and whether the
//! request may be sent to another endpoint.

use std::{error::Error, io, sync::Arc};

use equipoise_core::Verdict;

use crate::{
    error::{AttemptTimedOut, Error as Balanced, FailureStage, NotSent},
    guard::guarded,
};

/// What the error of an attempt means: how far the request got, which verdict the endpoint gets, and whether the
/// request may be sent to another endpoint.
///
/// By default, the balancer uses [`ErrorClass::of`]. A [`Classify`](crate::Classify) or a closure can return other
/// classes.
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
    /// How far the request got. If the request fails with this error, the stage decides the HTTP
    /// [status](crate::Error::status) that a gateway should send to its client.
    pub stage: FailureStage,
    /// The verdict that is recorded for the endpoint. It tells strategies and outlier detection what the error says
    /// about the endpoint.
    pub verdict: Verdict,
    /// Whether the request may be sent to another endpoint.
    pub retry: Retryable,
}

/// Whether a request may be sent to another endpoint after an error. This value alone is not enough: the request is
/// sent to another endpoint only if these conditions are met, too:
///
/// - The request's body can be [sent again](crate::Replay).
/// - Fewer attempts than [`max_attempts`](crate::Balance::max_attempts) were made.
/// - Another endpoint can take the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retryable {
    /// The request is not sent to another endpoint.
    Never,
    /// The request is sent to another endpoint only if it is idempotent: sending it twice has the same effect as
    /// sending it once. See [`Protocol::is_idempotent`](crate::Protocol::is_idempotent).
    IfIdempotent,
    /// The request is sent to another endpoint. Use this value only if the failed endpoint has not processed the
    /// request.
    Always,
}

impl Retryable {
    /// Returns the name of this value, for metrics and logs: `never`, `if_idempotent` or `always`. The name never
    /// changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfIdempotent => "if_idempotent",
            Self::Always => "always",
        }
    }
}

impl ErrorClass {
    /// Returns the default class of an error: [`ErrorClass::new`] with the [stage](FailureStage::of) of the error.
    /// There is one exception: [`AttemptTimedOut`] has [`Retryable::IfIdempotent`], so an idempotent request is
    /// retried.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let class = Self::new(FailureStage::of(error));
        if error.is::<AttemptTimedOut>() { class.retry(Retryable::IfIdempotent) } else { class }
    }

    /// Creates a class with the stage `stage`. The stage decides the verdict and whether the request may be retried:
    ///
    /// | stage | verdict | retry |
    /// | --- | --- | --- |
    /// | [`NotSent`](FailureStage::NotSent) | `Failure(Connect)` | `Always` |
    /// | [`Overloaded`](FailureStage::Overloaded) | `Overloaded` | `Always` |
    /// | [`NoResponse`](FailureStage::NoResponse) | `Failure(Transport)` | `IfIdempotent` |
    /// | [`TimedOut`](FailureStage::TimedOut) | `Failure(Timeout)` | `Never` |
    /// | [`Caller`](FailureStage::Caller) | `Neutral` | `Never` |
    /// | [`Other`](FailureStage::Other) | `Failure(Transport)` | `Never` |
    pub fn new(stage: FailureStage) -> Self {
        let retry = match stage {
            FailureStage::NotSent | FailureStage::Overloaded => Retryable::Always,
            FailureStage::NoResponse => Retryable::IfIdempotent,
            FailureStage::TimedOut | FailureStage::Caller | FailureStage::Other => Retryable::Never,
        };
        Self { stage, verdict: stage.verdict(), retry }
    }

    /// Returns this class with another verdict: `verdict` is recorded for the endpoint.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// Returns this class with another rule for retries: `retry` says whether the request may be sent to another
    /// endpoint.
    #[must_use]
    pub fn retry(mut self, retry: Retryable) -> Self {
        self.retry = retry;
        self
    }
}

/// A closure of the user that classifies errors.
#[derive(Clone)]
pub(crate) struct ErrorClassifier(Arc<ClassifyFn>);

type ClassifyFn = dyn Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync;

impl ErrorClassifier {
    pub(crate) fn new(classify: impl Fn(&(dyn Error + 'static)) -> ErrorClass + Send + Sync + 'static) -> Self {
        Self(Arc::new(classify))
    }

    /// Returns the class of an error. If the closure panics, this is [`ErrorClass::of`] the error.
    pub(crate) fn class(&self, error: &(dyn Error + 'static)) -> ErrorClass {
        guarded(|| (self.0)(error)).unwrap_or_else(|| ErrorClass::of(error))
    }
}

impl FailureStage {
    /// Returns the stage of an error. The stage follows from the type of the error and the types of its causes. These
    /// types are known:
    ///
    /// - errors of [`std::io`], tokio's timeouts, [`NotSent`], [`AttemptTimedOut`], and [`Error`](crate::Error) of a
    ///   balancer below this one,
    /// - with the feature `hyper`: errors of hyper and of hyper-util's client, which reqwest and tonic use,
    /// - with the feature `http2`: errors of h2,
    /// - with the features `tower`, `reqwest` and `tonic`: errors of these crates.
    ///
    /// The stage of any other error is [`Other`](Self::Other).
    ///
    /// Two errors never have the stage [`NotSent`](Self::NotSent) or [`Overloaded`](Self::Overloaded), because an
    /// endpoint may have processed the request earlier. Their stage is [`NoResponse`](Self::NoResponse) instead:
    ///
    /// - A plain `reqwest::Error`. reqwest's client follows redirects by default, and the error does not tell which of
    ///   the requests failed.
    /// - The error of a balancer below this one, if an endpoint may have processed the request in an attempt of that
    ///   balancer.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut stage = Self::Other;
        let mut known = Known::default();
        for error in causes(error) {
            // The innermost error decides the stage. These stages are final, at whatever depth they occur.
            match known.stage(error) {
                Some(settled @ (Self::NotSent | Self::Overloaded | Self::Caller)) => return settled,
                Some(found) => stage = found,
                None => {}
            }
        }
        stage
    }
}

/// The error, its cause, the cause of its cause, and so on.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // `source` of an `io::Error` skips the error that the `io::Error` contains.
        let made_from = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        made_from.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// Returns the number of retries that balancers below this one have made in the attempt that failed with this error.
pub(crate) fn retries_below(error: &(dyn Error + 'static)) -> usize {
    let balancers = causes(error).filter_map(|error| error.downcast_ref::<Balanced>());
    balancers.map(|error| error.attempts().saturating_sub(1)).fold(0, usize::saturating_add)
}

/// What the outer errors have shown about the request.
#[derive(Default)]
struct Known {
    /// There was a connection, so an I/O error does not mean that connecting failed.
    connected: bool,
    /// There may have been earlier requests before the one that failed, and an endpoint may have processed them.
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
        // The request cannot be sent to any endpoint of the balancer below.
        if let Some(Balanced::Unsupported(_)) = error.downcast_ref() {
            return Some(FailureStage::Caller);
        }
        // A balancer below has failed in a retry. The error describes its last attempt and not its earlier ones.
        if let Some(
            Balanced::Endpoint { maybe_processed: true, .. } | Balanced::Address { maybe_processed: true, .. },
        ) = error.downcast_ref()
        {
            self.several = true;
        }
        // `Pick` and `Address`: a balancer below had no endpoint that it could send the request to.
        if error.is::<NotSent>() || matches!(error.downcast_ref(), Some(Balanced::Pick(_) | Balanced::Address { .. })) {
            return Some(FailureStage::NotSent);
        }
        self.io(error.downcast_ref::<io::Error>()?.kind())
    }

    /// Some I/O errors occur both when connecting fails and when an established connection ends: routes can vanish
    /// (`EHOSTUNREACH`, `ENETUNREACH`, `ENETDOWN`) while a response is awaited. They never count as a failure to
    /// connect, even if no connection is known.
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

/// The stages of all kinds of errors of hyper-util's client (version 0.1.21):
///
/// | kind | source | stage |
/// | --- | --- | --- |
/// | `Connect` | error of the connector, or none | `NotSent` |
/// | `Canceled` | `hyper::Error`, cancelled | by the source: `NotSent` |
/// | `Canceled` | none, or a text | not returned to callers: the client waits for the connection that another request opens |
/// | `ChannelClosed` | `hyper::Error` | not returned to callers: used inside the connection pool |
/// | `SendRequest` | `hyper::Error` | by the source |
/// | `UserUnsupportedRequestMethod`, `UserUnsupportedVersion`, `UserAbsoluteUriRequired` | none | `Caller` |
#[cfg(feature = "hyper")]
fn legacy(error: &hyper_util::client::legacy::Error) -> Option<FailureStage> {
    match error {
        _ if error.is_connect() => Some(FailureStage::NotSent),
        _ if error.source().is_none() => Some(FailureStage::Caller),
        _ => None,
    }
}

/// The stages of all kinds of errors that hyper 1.12 attributes to the user ([`hyper::Error::is_user`]):
///
/// | kind | when | stage |
/// | --- | --- | --- |
/// | `Body` | the request's body failed | `Caller` |
/// | `BodyWriteAborted` | the request's body ended before its `content-length` | `Caller` |
/// | `InvalidConnectWithBody` | HTTP/2 CONNECT with a `content-length` | `Caller` |
/// | `DispatchGone` | the task that drives the connection was dropped, has panicked, or ended while an HTTP/2 request waited for a free stream | `NoResponse` |
/// | `AbortedByCallback` | C API only | `Caller` |
/// | `NoUpgrade`, `ManualUpgrade` | upgrades, after the response | does not occur here |
/// | `Service`, `UnexpectedHeader`, `UnsupportedStatusCode` | servers only | does not occur here |
#[cfg(feature = "hyper")]
fn hyper(error: &hyper::Error) -> Option<FailureStage> {
    match error {
        _ if error.is_user() && is_dispatch_gone(error) => Some(FailureStage::NoResponse),
        _ if error.is_user() => Some(FailureStage::Caller),
        // hyper's clients have one timeout: the server has not answered an HTTP/2 PING, and the connection is closed.
        _ if error.is_timeout() => Some(FailureStage::NoResponse),
        // hyper cancels only requests that it has not begun to send.
        _ if error.is_canceled() => Some(FailureStage::NotSent),
        _ if error.is_incomplete_message() || error.is_closed() => Some(FailureStage::NoResponse),
        _ => None,
    }
}

/// Returns whether the kind of the error is `DispatchGone`. hyper offers no method for this, so the message is
/// compared. The message depends on the kind only, so no text of a caller can equal it. If hyper changes the message,
/// the stage of such an error becomes `Caller`, and the test on a real connection fails.
#[cfg(feature = "hyper")]
fn is_dispatch_gone(error: &hyper::Error) -> bool {
    error.to_string() == "dispatch task is gone"
}

/// The stages of the errors of h2 0.4:
///
/// | error | stage |
/// | --- | --- |
/// | GOAWAY received | `NotSent`: the stream is above the last one of the GOAWAY, so it was not processed (RFC 9113, 6.8) |
/// | RST_STREAM received with `REFUSED_STREAM` | `NotSent`: the stream was not processed (RFC 9113, 8.7) |
/// | GOAWAY sent, I/O | `NoResponse`: the connection was lost. This includes streams that a received GOAWAY covers |
/// | RST_STREAM sent by hyper | `Caller`: the request's body failed |
/// | a request that h2 refuses | `Caller` |
/// | any other RST_STREAM | not known |
///
/// hyper runs the I/O of a connection and the opening of its streams in two tasks. If GOAWAY arrives in one thread at the
/// moment at which another one opens a stream, hyper reports GOAWAY also if the server may process this stream, and resets
/// it. The two cases have the same error. `equipoise-http` runs both in one task, so only the first one occurs there.
#[cfg(feature = "http2")]
fn h2(error: &h2::Error) -> Option<FailureStage> {
    match error.reason() {
        _ if error.is_go_away() && error.is_remote() => Some(FailureStage::NotSent),
        Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Some(FailureStage::NotSent),
        _ if error.is_go_away() || error.is_io() => Some(FailureStage::NoResponse),
        Some(_) if error.is_reset() && !error.is_remote() && !error.is_library() => Some(FailureStage::Caller),
        // The error has no reason and is not an I/O error.
        None => Some(FailureStage::Caller),
        Some(_) => None,
    }
}

#[cfg(feature = "reqwest")]
fn reqwest(error: &::reqwest::Error) -> Option<FailureStage> {
    // reqwest cannot send to such a URL or scheme.
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
            // An established connection may end with these errors too.
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
