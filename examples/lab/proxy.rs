//! The reverse proxy, and what the lab wants to see of it: a header with the number of attempts, and a log.

use std::{
    error::Error as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use equipoise::{
    Balance, EndpointSpec, HttpClient, Pool, Upstream,
    affinity::{
        Affinity, AffinityLayer,
        source::{PeerAddr, TrustedProxies},
    },
    proxy::{
        Failed, ReverseProxyLayer,
        headers::{FieldAction, ForwardingFields},
        server::Server,
    },
    tower::{Attempt, Error, HttpProtocol, ServedBy},
};
use http::{HeaderName, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::{net::TcpListener, sync::mpsc};
use tower::{Layer, Service, service_fn, util::option_layer};

/// Header with the server that answered.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// Header with the number of attempts.
pub(crate) const TRIES: HeaderName = HeaderName::from_static("x-tries");

/// A request that the proxy has answered.
pub(crate) struct Exchange {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) status: StatusCode,
    pub(crate) served_by: Option<String>,
    pub(crate) tries: usize,
    /// Time until the head of the response.
    pub(crate) latency: Duration,
}

/// Gives the pool these endpoints.
pub(crate) fn set_endpoints(
    pool: &Pool<Upstream>,
    specs: impl IntoIterator<Item = EndpointSpec>,
) -> anyhow::Result<()> {
    pool.try_update(specs, |spec| Upstream::new(spec.address()))?;
    Ok(())
}

/// Serves until dropped. Reports each answered request to `log`.
pub(crate) async fn serve(
    listener: TcpListener,
    pool: Pool<Upstream>,
    affinity: Option<Affinity>,
    log: Option<mpsc::UnboundedSender<Exchange>>,
) {
    let balance = Balance::with_protocol(pool, HttpProtocol::new().header(SERVED_BY));
    let client = option_layer(affinity.map(AffinityLayer::new)).layer(HttpClient::with_balance(balance));
    // The lab's clients play proxies too, so their X-Forwarded-For is kept.
    let forwarding = ForwardingFields::behind(TrustedProxies::loopback()).x_real_ip(FieldAction::Append);
    let proxy = ReverseProxyLayer::new().forwarding(forwarding).layer(client);
    let service = service_fn(move |request| observe(proxy.clone(), request, log.clone()));
    Server::new(service).serve(listener).await;
}

async fn observe<S, B>(
    mut proxy: S,
    request: Request<Incoming>,
    log: Option<mpsc::UnboundedSender<Exchange>>,
) -> Result<Response<B>, S::Error>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
{
    let (started, method, path) = (Instant::now(), request.method().clone(), request.uri().to_string());
    let peer = request.extensions().get().map(|PeerAddr(peer)| *peer);
    // A reverse proxy is always ready.
    let mut response = proxy.call(request).await?;
    let tries = attempts(&response);
    response.headers_mut().insert(TRIES, tries.into());
    if let Some(log) = log {
        let served_by = response.extensions().get().map(|ServedBy(id)| id.to_string());
        let (status, latency) = (response.status(), started.elapsed());
        // The receiver is gone once the lab has ended.
        let _ = log.send(Exchange { peer, method, path, status, served_by, tries, latency });
    }
    Ok(response)
}

/// Returns the number of attempts, and prints why there is no response of a server.
fn attempts<B>(response: &Response<B>) -> usize {
    let extensions = response.extensions();
    let Some(Failed(error)) = extensions.get() else {
        return extensions.get().map_or(1, |attempt: &Attempt| attempt.number);
    };
    let balance: Option<&Error> = error.source().and_then(|source| source.downcast_ref());
    let reason: &dyn std::error::Error = balance.map_or(&**error, |balance| balance);
    eprintln!("no response: {reason}");
    balance.map_or(0, Error::attempts)
}
