//! A reverse proxy: a hyper server, affinity, a balancer and a hyper client.

use std::{convert::Infallible, future::poll_fn, pin::pin, sync::Arc};

use bytes::Bytes;
use equipoise::{
    Pool,
    affinity::{Affinity, AffinityLayer, AffinityOutcome, WithAffinity, source::PeerAddr},
    tower::{Balance, BalanceLayer, HttpProtocol, LeasedBody, Replayable, SharedClient, TunnelLease},
};
use equipoise_tests::Reserved;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    io::copy_bidirectional,
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};
use tower::{Layer, ServiceExt};

/// Header with the endpoint that answered.
pub(crate) const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");
/// Header with how the request was bound.
pub(crate) const OUTCOME: HeaderName = HeaderName::from_static("x-outcome");

type Inner = Client<HttpConnector, Replayable<Incoming>>;
type Balanced = WithAffinity<Balance<(), SharedClient<Inner>>>;
type Body = Either<LeasedBody<Incoming>, Full<Bytes>>;

/// A proxy on its own port, until it is stopped or dropped.
pub(crate) struct Proxy {
    port: Reserved,
    under_way: Arc<watch::Sender<usize>>,
    /// The proxy ends when this is sent or dropped.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) fn start(pool: &Pool<()>, affinity: &Affinity) -> Self {
        Self::on(Reserved::new().unwrap(), pool, affinity)
    }

    /// Starts on the port of a stopped proxy.
    pub(crate) fn on(port: Reserved, pool: &Pool<()>, affinity: &Affinity) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let balanced = BalanceLayer::with_protocol(pool.clone(), HttpProtocol::new().header(SERVED_BY)).layer(client);
        let service = AffinityLayer::new(affinity.clone()).layer(balanced);
        let under_way = Arc::new(watch::Sender::new(0));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(port.listen().unwrap(), service, Arc::clone(&under_way), stopped));
        Self { port, under_way, stop, task }
    }

    pub(crate) fn address(&self) -> String {
        self.port.address()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Waits until this number of requests in all was passed to the balancer and not answered at once.
    pub(crate) async fn has_under_way(&self, requests: usize) {
        // The sender lives as long as `self`.
        let _ = self.under_way.subscribe().wait_for(|begun| *begun >= requests).await;
    }

    /// Closes the port and all connections except tunnels.
    pub(crate) async fn stop(self) -> Reserved {
        // The proxy ends in either case.
        let _ = self.stop.send(());
        let _ = self.task.await;
        self.port
    }
}

async fn serve(
    listener: tokio::net::TcpListener,
    service: Balanced,
    under_way: Arc<watch::Sender<usize>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, peer)) = accepted {
                let _ = stream.set_nodelay(true);
                let (service, under_way) = (service.clone(), Arc::clone(&under_way));
                let each = service_fn(move |mut request: Request<Incoming>| {
                    let (service, under_way) = (service.clone(), Arc::clone(&under_way));
                    request.extensions_mut().insert(PeerAddr(peer));
                    async move { Ok::<_, Infallible>(forward(service, request, &under_way).await) }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), each).with_upgrades();
                // A failed connection only affects its client.
                connections.spawn(async move { drop(connection.await) });
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn forward(
    service: Balanced,
    mut request: Request<Incoming>,
    under_way: &watch::Sender<usize>,
) -> Response<Body> {
    let client = upgrade::on(&mut request);
    let mut answer = pin!(service.oneshot(request.map(Replayable::new)));
    let mut first = true;
    let answer = poll_fn(|cx| {
        let polled = answer.as_mut().poll(cx);
        if polled.is_pending() && std::mem::take(&mut first) {
            under_way.send_modify(|begun| *begun += 1);
        }
        polled
    });
    let mut response = match answer.await {
        Ok(response) => response,
        Err(error) => return refusal(error.status()),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let lease: Option<TunnelLease> = response.extensions_mut().remove();
        let server = upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(client), Ok(server)) = tokio::join!(client, server) {
                // The tunnel has ended, with or without an error.
                let _ = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
            }
            drop(lease);
        });
    }
    if let Some(outcome) = response.extensions().get::<AffinityOutcome>() {
        let outcome = HeaderValue::try_from(outcome.to_string()).unwrap();
        response.headers_mut().insert(OUTCOME, outcome);
    }
    response.map(Either::Left)
}

fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Either::Right(Full::default()));
    *response.status_mut() = status;
    response
}
