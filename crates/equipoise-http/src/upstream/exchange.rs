//! Sends a request over a connection, and again over another one if the first was closed while it was idle.

use std::{sync::Arc, time::Duration};

#[cfg(feature = "http2")]
use equipoise_tower::FailureStage;
use http::{
    HeaderMap, Method, Request, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::upgrade::OnUpgrade;

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

pub(super) async fn exchange(
    connections: Arc<Connections>,
    mut request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Error> {
    check(&request)?;
    let (mut stale, mut again, mut waited) = (0, 0, Duration::ZERO);
    loop {
        let can_repeat = request.body().is_empty() && is_safe(request.method());
        let demand = Demand {
            // If one idle connection was closed, others have probably been closed too.
            is_checked: !can_repeat || again > 0,
            is_http1: asks_to_upgrade(&request),
            is_again: again > 0,
        };
        let sent = match connections.connection(demand, &mut waited).await? {
            Connection::Http1(connection) => {
                for_http1(&mut request, &connections.origin)?;
                over_http1(&connections, connection, request, can_repeat).await
            }
            #[cfg(feature = "http2")]
            Connection::Http2(stream) => {
                if is_extended_connect(&request) && !stream.has_extended_connect() {
                    return Err(Error::unsupported("the endpoint does not accept extended CONNECT (RFC 8441)"));
                }
                for_http2(&mut request, &connections.origin)?;
                over_http2(&connections, stream, request, can_repeat).await
            }
        };
        match sent {
            Ok(response) => return Ok(response),
            Err(Failed::Unsent(unsent, _)) if again < MAX_AGAIN => request = *unsent,
            Err(Failed::Stale(copy, _)) if stale < MAX_STALE && again < MAX_AGAIN => {
                stale += 1;
                request = *copy;
            }
            Err(Failed::Unsent(_, error) | Failed::Stale(_, error)) => return Err(Error::Exchange(error.into())),
            Err(Failed::Final(error)) => return Err(error),
        }
        again += 1;
    }
}

/// Why a request got no response.
enum Failed {
    /// The server had closed the connection before the request was sent.
    Unsent(Box<Request<RequestBody>>, hyper::Error),
    /// The server has closed the connection. The request can be sent again: it was not processed, or is safe.
    Stale(Box<Request<RequestBody>>, hyper::Error),
    /// The request cannot be sent again.
    Final(Error),
}

impl Failed {
    fn unsent(mut request: Request<RequestBody>, error: hyper::Error) -> Self {
        request.body_mut().release();
        Self::Unsent(Box::new(request), error)
    }
}

/// Returns whether sending the request twice has the same effect as sending it once (RFC 9110, section 9.2.1).
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

async fn over_http1(
    connections: &Arc<Connections>,
    mut connection: Http1,
    mut request: Request<RequestBody>,
    can_repeat: bool,
) -> Result<Response<ResponseBody>, Failed> {
    connections.count_request();
    let is_reused = connection.is_reused;
    // A new connection was not closed before, so its requests are not kept.
    let kept = (is_reused && can_repeat).then(|| head_of(&request));
    let expectation = (Expectation::is_in(request.headers()) && !request.body().is_empty()).then(Expectation::default);
    if let Some(expectation) = expectation.clone() {
        request.body_mut().hold_back(expectation.gate(connections.settings.continue_timeout));
        hyper::ext::on_informational(&mut request, move |response| {
            if response.status() == http::StatusCode::CONTINUE {
                expectation.meet();
            }
        });
    }
    let mut failed = match connection.send(request).await {
        Ok(response) => {
            // A server that ignores the expectation may answer with success before it has read the body.
            if let Some(expectation) = expectation
                && !response.status().is_success()
            {
                expectation.refuse();
                return Ok(attach(connections, connection, response, false));
            }
            return Ok(attach(connections, connection, response, true));
        }
        Err(failed) => failed,
    };
    let unsent = failed.take_message();
    let error = failed.into_error();
    let is_stale = (is_reused || unsent.is_some()) && was_closed(&error);
    connection.close_because(if is_stale { CloseReason::Peer } else { CloseReason::Failed });
    Err(match (unsent, kept) {
        (Some(unsent), _) => Failed::unsent(unsent, error),
        (None, Some(kept)) if is_stale => Failed::Stale(Box::new(kept), error),
        _ => Failed::Final(Error::Exchange(error.into())),
    })
}

#[cfg(feature = "http2")]
async fn over_http2(
    connections: &Connections,
    stream: Http2Stream,
    request: Request<RequestBody>,
    can_repeat: bool,
) -> Result<Response<ResponseBody>, Failed> {
    connections.count_request();
    let kept = request.body().is_empty().then(|| head_of(&request));
    let can_repeat = can_repeat && stream.is_reused();
    let (stream, sent) = stream.send(request).await;
    match sent {
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
            let can_be_sent_again = || match FailureStage::of(&error) {
                // The server has refused the stream, or has sent GOAWAY with an earlier stream as the last one.
                FailureStage::NotSent => true,
                FailureStage::NoResponse => can_repeat,
                _ => false,
            };
            Err(match (unsent, kept) {
                (Some(unsent), _) => Failed::unsent(unsent, error),
                (None, Some(kept)) if can_be_sent_again() => Failed::Stale(Box::new(kept), error),
                _ => Failed::Final(Error::Exchange(error.into())),
            })
        }
    }
}

/// Returns a copy of a request without a body.
fn head_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
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
    response: Response<hyper::body::Incoming>,
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
