//! The reverse proxy: a hyper server, and behind it one hyper client under a [`BalanceLayer`].
//!
//! It forwards plain HTTP/1 requests. It does not support tunnels (CONNECT) and upgrades (WebSocket).

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use equipoise::{
    Pool,
    affinity::{Affinity, AffinityLayer, source::PeerAddr},
    tower::{BalanceLayer, Error, HttpProtocol, LeasedBody, Replayable, ServedBy},
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header::CONTENT_TYPE};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{net::TcpListener, sync::mpsc};
use tower::{Layer, Service, ServiceExt, util::option_layer};

use crate::headers::{name_the_client, strip_hop_by_hop};

/// Header with the server that answered.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// Header with the number of attempts.
pub(crate) const TRIES: HeaderName = HeaderName::from_static("x-tries");

/// A request that the proxy has answered.
pub(crate) struct Exchange {
    pub(crate) peer: SocketAddr,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    pub(crate) served_by: Option<String>,
    pub(crate) tries: u32,
    /// Time until the head of the response.
    pub(crate) latency: Duration,
}

type Upstream = Request<Replayable<Incoming>>;
type Body = Either<LeasedBody<Incoming>, Full<Bytes>>;

/// The balancer: a pool, a client and the layer that connects them, and a second layer for session affinity.
fn balanced(
    pool: Pool<()>,
    affinity: Option<Affinity>,
) -> impl Service<Upstream, Response = Response<LeasedBody<Incoming>>, Error = Error, Future: Send> + Clone + Send {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    // Below the balancer, so that it sees every attempt.
    let counted = client.map_request(|request: Upstream| {
        if let Some(Tries(tries)) = request.extensions().get() {
            tries.fetch_add(1, Ordering::Relaxed);
        }
        request
    });
    let balanced = BalanceLayer::with_protocol(pool, HttpProtocol::new().header(SERVED_BY)).layer(counted);
    option_layer(affinity.map(AffinityLayer::new)).layer(balanced)
}

/// An extension of the request. The copies that failover sends share it.
#[derive(Clone, Default)]
struct Tries(Arc<AtomicU32>);

/// Serves until dropped. Reports each answered request to `log`.
pub(crate) async fn serve(
    listener: TcpListener,
    pool: Pool<()>,
    affinity: Option<Affinity>,
    log: Option<mpsc::UnboundedSender<Exchange>>,
) {
    let balanced = balanced(pool, affinity);
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        // Responses are written at once, so Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let (balanced, log) = (balanced.clone(), log.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (balanced, log) = (balanced.clone(), log.clone());
            async move {
                let (started, method, path) = (Instant::now(), request.method().clone(), request.uri().to_string());
                let tries = Tries::default();
                let response = forward(balanced, request, peer, tries.clone()).await;
                if let Some(log) = log {
                    let served_by = response.extensions().get().map(|ServedBy(id)| id.to_string());
                    let (status, tries) = (response.status(), tries.0.load(Ordering::Relaxed));
                    // The receiver is gone once the lab has ended.
                    let _ =
                        log.send(Exchange { peer, method, path, status, served_by, tries, latency: started.elapsed() });
                }
                Ok::<_, Infallible>(response)
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward<S>(balanced: S, request: Request<Incoming>, peer: SocketAddr, tries: Tries) -> Response<Body>
where
    S: Service<Upstream, Response = Response<LeasedBody<Incoming>>, Error = Error>,
{
    if request.method() == Method::CONNECT {
        return plain(StatusCode::NOT_IMPLEMENTED, "this proxy does not tunnel");
    }
    // An incoming body cannot be cloned, but it can be sent to another server if no attempt has read any of it.
    let mut request = request.map(Replayable::new);
    *request.version_mut() = Version::HTTP_11;
    // `Host` is unchanged: the balancer only changes the destination.
    strip_hop_by_hop(request.headers_mut());
    name_the_client(request.headers_mut(), peer.ip());
    request.extensions_mut().insert(tries.clone());
    request.extensions_mut().insert(PeerAddr(peer));

    let mut response = match balanced.oneshot(request).await {
        Ok(response) => {
            let mut response = response.map(Either::Left);
            *response.version_mut() = Version::HTTP_11;
            strip_hop_by_hop(response.headers_mut());
            response
        }
        Err(error) => refusal(error),
    };
    response.headers_mut().insert(TRIES, tries.0.load(Ordering::Relaxed).into());
    response
}

fn refusal(error: Error) -> Response<Body> {
    let response = plain(error.status(), error.public_message());
    // Only for the log, because ids and causes contain addresses.
    eprintln!("no response: {:#}", anyhow::Error::from(error));
    response
}

fn plain(status: StatusCode, reason: &str) -> Response<Body> {
    let mut response = Response::new(Either::Right(format!("{reason}\n").into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
