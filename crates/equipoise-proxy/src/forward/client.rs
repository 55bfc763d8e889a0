use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_core::{AnyTarget, Failure, Lease, Verdict};
use equipoise_tower::BoxError;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONNECTION, PROXY_AUTHORIZATION, TE},
    uri::Scheme,
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::{
    attempt::Attempt,
    connect::{Connected, Connector},
    dial::Stream,
    error::ForwardError,
    kept::{Connection, Kept, Peer, SentBody},
    stream::{ForwardBody, MeteredBody},
    upstream::{Failed, Upstreams},
};
use crate::{body::RequestBody, error::ProxyError};

/// Sends requests of HTTP to their destinations, over connections that are kept.
///
/// A connection is used for one client, and for one host and port only. Before it is used again, the rules decide about its address for the
/// client of the request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) connector: Arc<Connector>,
    pub(super) kept: Arc<Kept>,
}

/// Why a request was not answered on its connection.
enum NotAnswered {
    /// The connection was closed before it was sent.
    Unsent(Box<Request<SentBody>>),
    Failed(hyper::Error),
}

impl<B> Service<Request<RequestBody<B>>> for Client
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<ForwardBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ForwardBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<B>>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let Some(attempt) = parts.extensions.remove::<Attempt>() else {
            return Box::pin(std::future::ready(Err("the request has no destination".into())));
        };
        // Those of the client's connection mean nothing on another one.
        parts.extensions.clear();
        name_te(&mut parts.headers);
        let body = MeteredBody::new(body, attempt.meter.clone()).boxed_unsync();
        let (client, request) = (self.clone(), Request::from_parts(parts, body));
        Box::pin(async move {
            match &client.connector.upstreams {
                Some(upstreams) if upstreams.resolves_names() => {
                    client.connector.check_unresolved(&attempt).await?;
                    client.send_upstream(request, &attempt, upstreams).await
                }
                _ => client.send(request, &attempt).await,
            }
        })
    }
}

impl Client {
    /// Sends a request to the server of its destination.
    async fn send(&self, mut request: Request<SentBody>, attempt: &Attempt) -> Result<Response<ForwardBody>, BoxError> {
        let is_allowed = |remote: SocketAddr| self.connector.allows(attempt, remote);
        let is_wanted = |peer: &Peer| {
            matches!(peer, Peer::Server(client, to, remote)
                if *client == attempt.client && *to == attempt.destination && is_allowed(*remote))
        };
        while let Some(connection) = self.kept.take(is_wanted) {
            match self.exchange(connection, request, true).await {
                Ok(response) => return Ok(received(response, attempt, None)),
                Err(NotAnswered::Unsent(unsent)) => request = *unsent,
                Err(NotAnswered::Failed(error)) => return Err(error.into()),
            }
        }
        let Connected { stream, remote, lease } = self.connector.connect(attempt).await?;
        // Without an address, no rule could decide about it again.
        let remote =
            remote.ok_or_else(|| ForwardError::Resolve { destination: attempt.destination.clone(), source: None });
        let peer =
            Peer::Server(attempt.client.clone(), attempt.destination.clone(), remote.map_err(ProxyError::Forward)?);
        // A tunnel through an upstream proxy has a lease, which a connection without a request must not hold.
        let (connection, is_kept) = (open(stream, peer).await?, lease.is_none());
        match self.exchange(connection, request, is_kept).await {
            Ok(response) => Ok(received(response, attempt, lease)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a request to an upstream proxy, with its full URL.
    async fn send_upstream(
        &self,
        mut request: Request<SentBody>,
        attempt: &Attempt,
        upstreams: &Upstreams,
    ) -> Result<Response<ForwardBody>, BoxError> {
        let mut target = std::mem::take(request.uri_mut()).into_parts();
        (target.scheme, target.authority) = (Some(Scheme::HTTP), Some(attempt.authority.clone()));
        *request.uri_mut() = Uri::from_parts(target)?;
        if let Some(credentials) = upstreams.authorization() {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let mut tries = upstreams.tries(attempt);
        loop {
            let mut lease = tries.next().map_err(ProxyError::Forward)?;
            let peer = Peer::Upstream(attempt.client.clone(), lease.endpoint().address().to_owned());
            let kept = self.kept.take(|kept| *kept == peer);
            let was_kept = kept.is_some();
            let connection = match kept {
                Some(connection) => connection,
                None => match tries.dial(lease.endpoint().address(), &*self.connector.resolver).await {
                    Ok(stream) => open(Box::new(stream), peer).await?,
                    Err(failed) => {
                        tries.failed(lease, failed);
                        continue;
                    }
                },
            };
            match self.exchange(connection, request, true).await {
                // The client does not know the credentials for the upstream proxy.
                Ok(response) if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                    let (address, status) = (lease.endpoint().address().to_owned(), response.status());
                    lease.finish(Verdict::Neutral);
                    return Err(ProxyError::Forward(ForwardError::UpstreamRefused { address, status }).into());
                }
                Ok(response) => {
                    lease.first_byte();
                    lease.record(verdict(response.status()));
                    return Ok(received(response, attempt, Some(lease)));
                }
                // It was closed while it was not used. The next connection may be a new one to the same proxy.
                Err(NotAnswered::Unsent(unsent)) if was_kept => {
                    request = *unsent;
                    lease.finish(Verdict::Neutral);
                }
                Err(NotAnswered::Unsent(unsent)) => {
                    request = *unsent;
                    let verdict = Verdict::Failure(Failure::Transport);
                    tries.failed(lease, Failed { verdict, source: closed().into() });
                }
                Err(NotAnswered::Failed(error)) => {
                    // One that was kept may have been closed because nobody used it.
                    let is_broken = !error.is_user() && !was_kept;
                    lease.finish(if is_broken { Verdict::Failure(Failure::Transport) } else { Verdict::Neutral });
                    return Err(error.into());
                }
            }
        }
    }

    /// Sends a request over a connection.
    async fn exchange(
        &self,
        mut connection: Connection,
        request: Request<SentBody>,
        is_kept: bool,
    ) -> Result<Response<Incoming>, NotAnswered> {
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                if is_kept {
                    self.kept.keep(connection);
                }
                Ok(response)
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => NotAnswered::Unsent(Box::new(request)),
                None => NotAnswered::Failed(error.into_error()),
            }),
        }
    }
}

impl From<NotAnswered> for BoxError {
    fn from(error: NotAnswered) -> Self {
        match error {
            NotAnswered::Unsent(_) => closed().into(),
            NotAnswered::Failed(error) => error.into(),
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was closed before the request was sent")
}

/// Begins HTTP/1.1 on a stream.
async fn open(stream: Box<dyn Stream>, peer: Peer) -> hyper::Result<Connection> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a destination has ended");
        }
    });
    Ok(Connection { peer, sender })
}

fn received(response: Response<Incoming>, attempt: &Attempt, lease: Option<Lease<AnyTarget>>) -> Response<ForwardBody> {
    response.map(|body| ForwardBody::new(body, attempt.meter.clone(), lease))
}

/// What the response of an upstream proxy says about it. These errors may be those of a destination, which clients
/// choose.
fn verdict(status: StatusCode) -> Verdict {
    match status.as_u16() {
        502..=504 => Verdict::Neutral,
        _ => Verdict::Success,
    }
}

/// Names `TE` in `Connection`, so that the next hop does not forward the field (RFC 9110, section 10.1.4).
fn name_te(headers: &mut HeaderMap) {
    if headers.contains_key(TE) {
        headers.append(CONNECTION, HeaderValue::from_static("te"));
    }
}
