use std::{fmt, sync::Arc};

use http::{HeaderMap, StatusCode};

/// A request extension that sends interim responses (1xx) to the client, before the response to the request (RFC 9110,
/// section 15.2).
///
/// A server adds it to requests whose clients can get interim responses. A service may send its own, such as
/// `103 Early Hints` (RFC 8297). A client that sends the request to an endpoint passes on those of the endpoint: the
/// `Upstream` of `equipoise-http` does so over HTTP/1.1. If an attempt fails after the client got its interim responses,
/// those of the next attempt follow them.
///
/// Layers do not see interim responses, so they do not change their fields. A layer that removes this extension from a
/// request keeps its client from getting any.
///
/// ```
/// use equipoise_tower::InterimSender;
/// use http::{HeaderMap, HeaderValue, Request, StatusCode, header::LINK};
///
/// fn hint<B>(request: &Request<B>) {
///     if let Some(sender) = request.extensions().get::<InterimSender>() {
///         let link = HeaderValue::from_static("</style.css>; rel=preload; as=style");
///         sender.send(StatusCode::EARLY_HINTS, &HeaderMap::from_iter([(LINK, link)]));
///     }
/// }
/// ```
#[derive(Clone)]
pub struct InterimSender(Arc<SendFn>);

type SendFn = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

impl InterimSender {
    /// Creates a sender that calls `send` for each interim response. `send` must not block, and must do nothing after the
    /// response to the request has begun.
    pub fn new(send: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    /// Sends an interim response, unless the response to the request has begun. The server may discard it, for example
    /// because the client does not read fast enough.
    ///
    /// Does nothing if `status` is not below 200, or is 100 or 101: the server itself sends `100 Continue` when the body of
    /// the request is read, and `101 Switching Protocols` is a final response.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) {
        let is_other = !matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS);
        if status.is_informational() && is_other {
            (self.0)(status, headers);
        }
    }
}

impl fmt::Debug for InterimSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterimSender").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[test]
    fn only_interim_responses_that_the_server_does_not_make_itself_are_sent() {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&sent);
        let sender = InterimSender::new(move |status, _| log.lock().push(status.as_u16()));
        for status in [100, 101, 102, 103, 199, 200, 404] {
            sender.send(StatusCode::from_u16(status).expect("a status"), &HeaderMap::new());
        }
        assert_eq!(*sent.lock(), [102, 103, 199]);
    }
}
