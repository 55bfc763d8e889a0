use std::{convert::Infallible, error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise::{
    Availability, EndpointSpec, Pool, RoundRobin, Strategy,
    health::{AvailabilityChanges, Health, HealthGuard, InitialState, Schedule, probe::HttpProbe},
    http::{HttpClient, Upstream},
    monitor::{Monitor, WatchedPool, page::StatusPage},
};
use equipoise_tests::{Backend, Reserved, soon};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower::{Service, ServiceExt};

/// Servers in a pool with health checks, a client that sends requests to them, and the status page of the pool.
pub(super) struct Site {
    pub(super) backends: Vec<Backend>,
    pub(super) pool: Pool<Upstream>,
    pub(super) health: Health,
    pub(super) changes: AvailabilityChanges,
    pub(super) monitor: Monitor,
    client: HttpClient,
    _checking: HealthGuard,
}

impl Site {
    /// Starts servers with these ids in a pool `shop`, and waits until all of them are up.
    pub(super) async fn start(ids: &[&str]) -> Self {
        Self::with(ids, RoundRobin::new()).await
    }

    pub(super) async fn with(ids: &[&str], strategy: impl Strategy) -> Self {
        // Each check needs one probe, and a busy machine does not count as a fault.
        let schedule = Schedule::new().interval(Duration::from_millis(50)).rise(1).fall(1);
        let schedule = schedule.initial_state(InitialState::MustPass).timeout(Duration::from_secs(20));
        let probe = HttpProbe::new("/health").expect("a path");
        let health = Health::builder().check("http", schedule, probe).build().expect("valid settings");
        let pool = Pool::builder(health.watch(strategy)).latency_histograms(true).build();
        let backends: Vec<_> = ids.iter().map(|_| Backend::answering(answer).expect("a free port")).collect();
        let specs = backends.iter().zip(ids).map(|(backend, id)| EndpointSpec::new(backend.address()).with_id(*id));
        pool.try_update(specs, |spec| Upstream::new(spec.address())).expect("valid endpoints");
        let mut changes = health.changes();
        let checking = health.spawn(&pool);
        let monitor = Monitor::new();
        monitor.build_info("shop-gateway", "1.2.3");
        monitor.add_pool(WatchedPool::new("shop", &pool).health(&health));
        let mut up = 0;
        while up < ids.len() {
            let change = soon(changes.next()).await.expect("the checks go on");
            up += usize::from(change.to == Availability::Up);
        }
        Self { backends, client: HttpClient::new(pool.clone()), pool, health, changes, monitor, _checking: checking }
    }

    /// Sends requests, one after the other.
    pub(super) async fn send(&self, requests: usize) {
        for _ in 0..requests {
            let request = Request::get("/").body(Full::<Bytes>::default()).expect("a request");
            let response = self.client.clone().oneshot(request).await.expect("a response");
            response.into_body().collect().await.expect("a body");
        }
    }

    /// Returns the address of the server with this id.
    pub(super) fn address(&self, id: &str) -> String {
        let endpoints = self.pool.endpoints();
        endpoints.iter().find(|endpoint| endpoint.id.as_str() == id).expect("an endpoint").address.clone()
    }
}

fn answer(seen: &equipoise_tests::Seen) -> equipoise_tests::Answer {
    let text = if seen.uri.path() == "/health" { "well" } else { "hello" };
    let body = Full::new(Bytes::from_static(text.as_bytes()));
    Response::new(body.map_err(io::Error::other).boxed())
}

/// A status page on its own port. It ends as a killed process does when it is stopped or dropped.
pub(super) struct Served {
    port: Reserved,
    page: StatusPage,
    task: JoinHandle<()>,
}

impl Served {
    pub(super) fn start(page: StatusPage) -> Self {
        let port = Reserved::new().expect("a free port");
        let task = tokio::spawn(serve_page(port.listen().expect("a free port"), page.clone()));
        Self { port, page, task }
    }

    /// Returns the URL of the page.
    pub(super) fn url(&self) -> String {
        format!("{}/", self.origin())
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Closes the port and all connections.
    pub(super) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Listens on the same port again.
    pub(super) fn restart(&mut self) {
        let listener = self.port.listen().expect("the old listener is closed");
        self.task = tokio::spawn(serve_page(listener, self.page.clone()));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_page(listener: TcpListener, page: StatusPage) {
    serve(listener, move |request| page.clone().call(request)).await;
}

/// Serves HTTP on a port, until the future is dropped. Then all connections are closed.
pub(super) async fn serve<F, B>(listener: TcpListener, answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static)
where
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let service = service_fn(answer.clone());
                connections.spawn(async move {
                    // A failed connection only affects its client.
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}

/// A site of someone else: a page on its own port.
pub(super) struct Foreign {
    pub(super) url: String,
    _port: Reserved,
    task: JoinHandle<()>,
}

impl Foreign {
    pub(super) fn start(html: &'static str) -> Self {
        let port = Reserved::new().expect("a free port");
        let listener = port.listen().expect("a free port");
        let url = format!("http://{}/", port.address());
        let task = tokio::spawn(serve(listener, move |_| async move {
            let mut response = Response::new(Full::new(Bytes::from_static(html.as_bytes())));
            response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/html"));
            Ok(response)
        }));
        Self { url, _port: port, task }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Requests in the background, until the value is dropped.
pub(super) struct Traffic(JoinHandle<()>);

impl Traffic {
    pub(super) fn start(site: &Arc<Site>) -> Self {
        let site = Arc::clone(site);
        Self(tokio::spawn(async move {
            loop {
                site.send(1).await;
            }
        }))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}
