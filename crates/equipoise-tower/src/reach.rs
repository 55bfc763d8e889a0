use std::{error::Error, io};

use equipoise_core::{Failure, Verdict};

use crate::error::Error as Balanced;

/// How far a failed request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// It never reached the endpoint: connection refused, name not found, handshake failed. Any request whose body is
    /// untouched may go elsewhere.
    NotSent,
    /// The connection died before an answer began. The endpoint may have acted on the request; an idempotent one may go
    /// elsewhere.
    NoResponse,
    /// Time ran out. It is not sent again, lest what is slow is done twice. A time-out under the balancer that is to send
    /// idempotent requests elsewhere, as nginx does, says that it gave up the connection:
    /// [`io::ErrorKind::ConnectionAborted`].
    TimedOut,
    /// The caller's own doing: its request body failed. Nothing is held against the endpoint.
    Caller,
    /// Something else; it is not sent again.
    Other,
}

impl Reach {
    /// What such an end says of the endpoint.
    pub(crate) fn verdict(self) -> Verdict {
        Verdict::Failure(match self {
            Self::NotSent => Failure::Connect,
            Self::TimedOut => Failure::Timeout,
            Self::NoResponse | Self::Other => Failure::Transport,
            Self::Caller => return Verdict::Neutral,
        })
    }

    /// Reads it off an error and what caused it: errors of [`std::io`], [`NotSent`], and with the features of these names
    /// those of hyper and hyper-util's client (on which reqwest and tonic stand), of h2 (`http2`) and of reqwest.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut reach = Self::Other;
        let mut next = Some(error);
        while let Some(error) = next {
            // Further down is nearer to the cause, but these settle it wherever they stand.
            match Self::of_one(error) {
                Some(settled @ (Self::NotSent | Self::Caller)) => return settled,
                Some(found) => reach = found,
                None => {}
            }
            // `source` of an `io::Error` passes over the error that it was made from.
            let made_from = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            next = made_from.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source());
        }
        reach
    }

    fn of_one(error: &(dyn Error + 'static)) -> Option<Self> {
        #[cfg(feature = "hyper")]
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return match error {
                _ if error.is_connect() => Some(Self::NotSent),
                // Refused by the client itself: a version or method that it does not send.
                _ if error.source().is_none() => Some(Self::Caller),
                _ => None,
            };
        }
        #[cfg(feature = "hyper")]
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            return match error {
                _ if error.is_user() => Some(Self::Caller),
                _ if error.is_timeout() => Some(Self::TimedOut),
                // hyper cancels only what it has not begun to send.
                _ if error.is_canceled() => Some(Self::NotSent),
                _ if error.is_incomplete_message() || error.is_closed() => Some(Self::NoResponse),
                _ => None,
            };
        }
        #[cfg(feature = "http2")]
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            // RFC 9113, 8.7: a refused stream has not been processed; of others on a connection that is given up,
            // nothing is said.
            return match error.reason() {
                Some(h2::Reason::REFUSED_STREAM) => Some(Self::NotSent),
                _ => (error.is_go_away() || error.is_io()).then_some(Self::NoResponse),
            };
        }
        #[cfg(feature = "reqwest")]
        if let Some(error) = error.downcast_ref::<reqwest::Error>() {
            let connecting = error.is_connect().then_some(Self::NotSent);
            return connecting.or(error.is_timeout().then_some(Self::TimedOut));
        }
        if error.is::<NotSent>() {
            return Some(Self::NotSent);
        }
        // A balancer further in that found nobody to send it to.
        if let Some(Balanced::Pick(_) | Balanced::Address { .. }) = error.downcast_ref() {
            return Some(Self::NotSent);
        }
        match error.downcast_ref::<io::Error>()?.kind() {
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => Some(Self::NotSent),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Some(Self::NoResponse),
            io::ErrorKind::TimedOut => Some(Self::TimedOut),
            _ => None,
        }
    }
}

/// Marks an error as one of a request that never reached its endpoint, so that it may go elsewhere: for services of
/// your own.
///
/// ```
/// use equipoise_tower::{NotSent, Reach};
///
/// let error = NotSent::new("the circuit is open");
/// assert_eq!(Reach::of(&error), Reach::NotSent);
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
        for (kind, reach) in [
            (io::ErrorKind::ConnectionRefused, Reach::NotSent),
            (io::ErrorKind::ConnectionReset, Reach::NoResponse),
            (io::ErrorKind::TimedOut, Reach::TimedOut),
            (io::ErrorKind::InvalidData, Reach::Other),
        ] {
            assert_eq!(Reach::of(&Wrapped(kind.into())), reach);
        }
    }

    #[test]
    fn an_io_error_made_from_another_is_looked_into() {
        let error = io::Error::other(NotSent::new("the circuit is open"));
        assert_eq!(Reach::of(&Wrapped(error)), Reach::NotSent);
    }
}
