//! Sends a request over a connection, and again over another one if the first was closed while it was idle.

use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};

#[cfg(feature = "http2")]
use equipoise_tower::FailureStage;
use equipoise_tower::InterimSender;
use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::{body::Incoming, upgrade::OnUpgrade};

#[cfg(feature = "http2")]
use super::head::{for_http2, is_extended_connect};
use super::{
    head::{asks_to_upgrade, check, for_http1},
    response::{Held, ResponseBody},
    upload::Upload,
};
#[cfg(feature = "http2")]
use crate::connections::Http2Stream;
use crate::{
    body::{Expectation, RequestBody},
    connections::{CloseReason, Connection, Connections, Demand, Http1},
    error::Error,
};

/// How often a request that was sent goes to another connection because the one it got was closed.
const MAX_STALE: usize = 3;

/// How often a request goes to another connection, also if it was not sent. Connections that have become idle together
/// may be closed together. But a server that closes each of its connections at once does not keep a request busy for ever.
const MAX_AGAIN: usize = 16;

/// Sends a request and returns the head of its response.
pub(super) fn exchange(
    connections: Arc<Connections>,
    mut request: Request<RequestBody>,
) -> impl Future<Output = Result<Response<ResponseBody>, Error>> {
    let (mut stale, mut again, mut waited) = (0, 0, Duration::ZERO);
    // Not an `async fn`, whose future would have room for its arguments twice.
    async move {
        check(&request)?;
        #[cfg(feature = "proxy-protocol")]
        let client = connections.settings.proxy_protocol.as_ref().map(|headers| {
            let header = headers.of(request.extensions());
            crate::connections::Client::new(&header)
        });
        #[cfg(not(feature = "proxy-protocol"))]
        let client = None;
        let interim = request.extensions().get::<InterimSender>().cloned();
        loop {
            let can_repeat = request.body().is_empty() && is_safe(request.method());
            let demand = Demand {
                // If one idle connection was closed, others have probably been closed too.
                is_checked: !can_repeat || again > 0,
                is_http1: asks_to_upgrade(&request),
                is_again: again > 0,
                client: client.clone(),
            };
            let sent = match connections.connection(demand, &mut waited).await? {
                Connection::Http1(mut connection) => {
                    for_http1(&mut request, &connections.origin)?;
                    let sent =
                        over_http1(&connections, &mut connection, &mut request, can_repeat, interim.as_ref()).await;
                    sent.map(|(response, wants_request)| attach(&connections, connection, response, wants_request))
                }
                #[cfg(feature = "http2")]
                Connection::Http2(stream) => {
                    if is_extended_connect(&request) && !stream.has_extended_connect() {
                        return Err(Error::unsupported("the endpoint does not accept extended CONNECT (RFC 8441)"));
                    }
                    for_http2(&mut request, &connections.origin)?;
                    over_http2(&connections, stream, &mut request, can_repeat).await
                }
            };
            match sent {
                Ok(response) => return Ok(response),
                Err(Failed { left: Left::Unsent, .. }) if again < MAX_AGAIN => {}
                Err(Failed { left: Left::Copy, .. }) if stale < MAX_STALE && again < MAX_AGAIN => stale += 1,
                Err(Failed { error, .. }) => return Err(Error::Exchange(error.into())),
            }
            again += 1;
        }
    }
}

/// Why a request got no response over a connection.
struct Failed {
    error: hyper::Error,
    left: Left,
}

/// What is left of a request that got no response.
enum Left {
    /// The request, because it was not sent.
    Unsent,
    /// A copy. The request can be sent again: it was not processed, or is safe.
    Copy,
    Nothing,
}

/// Returns whether sending the request twice has the same effect as sending it once (RFC 9110, section 9.2.1).
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// Also returns whether the rest of the request is sent if it was not sent before.
async fn over_http1(
    connections: &Connections,
    connection: &mut Http1,
    request: &mut Request<RequestBody>,
    can_repeat: bool,
    interim: Option<&InterimSender>,
) -> Result<(Response<Incoming>, bool), Failed> {
    connections.count_request();
    let is_reused = connection.is_reused;
    let expectation = (!request.body().is_empty() && Expectation::is_in(request.headers())).then(Expectation::default);
    if let Some(expectation) = &expectation {
        request.body_mut().hold_back(expectation.gate(connections.settings.continue_timeout));
    }
    if expectation.is_some() || interim.is_some() {
        let (expectation, interim) = (expectation.clone(), interim.cloned());
        hyper::ext::on_informational(&mut *request, move |response| {
            match (response.status(), &expectation, &interim) {
                (StatusCode::CONTINUE, Some(expectation), _) => expectation.meet(),
                (status, _, Some(interim)) => interim.send(status, response.headers()),
                _ => {}
            }
        });
    }
    // A new connection was not closed before, so its requests are not kept.
    let is_kept = is_reused && can_repeat;
    let mut response = pin!(connection.begin(take(request, is_kept)));
    let mut failed = match poll_fn(|cx| connection.poll_response(cx, response.as_mut())).await {
        Ok(response) => {
            // A server that ignores the expectation may answer with success before it has read the body.
            if let Some(expectation) = expectation
                && !response.status().is_success()
            {
                expectation.refuse();
                return Ok((response, false));
            }
            return Ok((response, true));
        }
        Err(failed) => failed,
    };
    let unsent = failed.take_message();
    let error = failed.into_error();
    let is_stale = (is_reused || unsent.is_some()) && was_closed(&error);
    connection.close_because(if is_stale { CloseReason::Peer } else { CloseReason::Failed });
    let left = match unsent {
        Some(unsent) => {
            *request = unsent;
            request.body_mut().release();
            Left::Unsent
        }
        None if is_kept && is_stale => Left::Copy,
        None => Left::Nothing,
    };
    Err(Failed { error, left })
}

#[cfg(feature = "http2")]
async fn over_http2(
    connections: &Connections,
    stream: Http2Stream,
    request: &mut Request<RequestBody>,
    can_repeat: bool,
) -> Result<Response<ResponseBody>, Failed> {
    connections.count_request();
    let is_kept = request.body().is_empty();
    let can_repeat = can_repeat && stream.is_reused();
    let (stream, response) = stream.begin(take(request, is_kept));
    match response.await {
        Ok(response) => {
            if response.extensions().get::<OnUpgrade>().is_some() {
                stream.become_tunnel();
            }
            let is_over = http_body::Body::is_end_stream(response.body());
            let held = (!is_over).then_some(Held::Http2(stream));
            Ok(response.map(|body| ResponseBody::new(body, held)))
        }
        Err(mut failed) => {
            let unsent = failed.take_message();
            let error = failed.into_error();
            let can_be_repeated = match FailureStage::of(&error) {
                // The server has refused the stream, or has sent GOAWAY with an earlier stream as the last one.
                FailureStage::NotSent => true,
                FailureStage::NoResponse => can_repeat,
                _ => false,
            };
            let left = match unsent {
                Some(unsent) => {
                    stream.retire();
                    *request = unsent;
                    request.body_mut().release();
                    Left::Unsent
                }
                None if is_kept && can_be_repeated => Left::Copy,
                None => Left::Nothing,
            };
            Err(Failed { error, left })
        }
    }
}

/// Takes a request out of its place. If `is_kept`, leaves a copy of its head there, for a request without a body.
fn take(request: &mut Request<RequestBody>, is_kept: bool) -> Request<RequestBody> {
    let copy = if is_kept { head_of(request) } else { Request::default() };
    std::mem::replace(request, copy)
}

/// Returns a copy of a request without a body. It has only the extension that decides how a request is sent: a copy of
/// the others would cost more than that of the header fields.
fn head_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::<RequestBody>::default();
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    #[cfg(feature = "http2")]
    if let Some(protocol) = request.extensions().get::<hyper::ext::Protocol>() {
        copy.extensions_mut().insert(protocol.clone());
    }
    copy
}

/// Returns whether the connection was closed before the first byte of a response.
fn was_closed(error: &hyper::Error) -> bool {
    let io = || std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || io()
}

/// Returns whether parsers can disagree about where the response ends: more than one `Content-Length`, one beside
/// `Transfer-Encoding`, or a coding other than `chunked`. hyper accepts such a head if the response has no body, as after
/// HEAD. What follows on the connection could be the rest of this response.
fn has_doubtful_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match codings.next() {
        None => lengths.next().is_some() || length.is_some_and(|length| length.as_bytes().contains(&b',')),
        Some(coding) => {
            length.is_some() || codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
        }
    }
}

/// Decides who has the connection after the head of the response. `wants_request`: whether the rest of the request is sent
/// if it was not sent before.
fn attach(
    connections: &Arc<Connections>,
    connection: Http1,
    response: Response<Incoming>,
    wants_request: bool,
) -> Response<ResponseBody> {
    if has_doubtful_length(response.headers()) {
        connection.close_because(CloseReason::Failed);
    }
    if response.extensions().get::<OnUpgrade>().is_some() {
        if let Some(driver) = connection.into_tunnel() {
            // An error is reported to the holder of the tunnel.
            tokio::spawn(driver);
        }
        return response.map(|body| ResponseBody::new(body, None));
    }
    if wants_request && connection.is_sending() {
        // After another response, the server probably does not want the rest of the request (RFC 9110, section 10.1.1).
        let upload = Upload::start(connections, connection, response.status().is_success());
        return response.map(|body| ResponseBody::uploading(body, upload));
    }
    // A small body has arrived together with its head.
    if connection.is_ready() || http_body::Body::is_end_stream(response.body()) {
        connections.after_response(connection);
        return response.map(|body| ResponseBody::new(body, None));
    }
    response.map(|body| ResponseBody::new(body, Some(Held::Http1(connection, Arc::clone(connections)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_request_has_the_head_of_the_one_that_is_sent() {
        let request = Request::head("/a?b").header("x-a", "1").extension(1_u8).body(RequestBody::default());
        let mut request = request.expect("a valid request");
        #[cfg(feature = "http2")]
        request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
        let sent = take(&mut request, true);
        let head = |request: &Request<RequestBody>| {
            (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone())
        };
        assert_eq!(head(&request), head(&sent));
        assert_eq!((request.extensions().get::<u8>(), sent.extensions().get()), (None, Some(&1_u8)));
        #[cfg(feature = "http2")]
        assert!(
            request.extensions().get::<hyper::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
        );
    }
}
