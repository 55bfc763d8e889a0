use std::{
    convert::Infallible,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Entropy, LogEwma, Pool, SeededEntropy,
    health::{AdminState, Health, HealthGuard, Schedule, probe::HttpProbe},
    http::{HttpClient, Upstream},
    monitor::{
        Monitor, WatchedListener, WatchedPool,
        page::{Operator, StatusPage},
        report::CertificateReport,
    },
    proxy::{ReverseProxyLayer, server::Server},
};
use equipoise_tests::Reserved;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, sleep},
};
use tower::Layer;

use super::{
    chromium::Browser,
    site::{Served, serve},
};

/// The charts show two minutes.
const HISTORY: Duration = Duration::from_secs(122);

/// Writes the pictures of the documentation. Takes more than two minutes, because the charts show two minutes of
/// traffic.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes docs/monitoring/*.png"]
async fn the_pictures_of_the_documentation_are_written() {
    let Some(browser) = Browser::start().await else { return };
    let monitor = Monitor::new();
    monitor.build_info("gateway", env!("CARGO_PKG_VERSION"));
    let mut shop = Group::start("shop", 8, 4.0).await;
    let api = Group::start("api", 4, 9.0).await;
    for group in [&shop, &api] {
        monitor.add_pool(WatchedPool::new(group.name, &group.pool).health(&group.health));
    }
    let expiry = SystemTime::now() + Duration::from_secs(12 * 86_400);
    monitor.add_listener(shop.listener.clone().certificates(move |all| {
        let names = vec!["shop.example.com".to_owned(), "www.shop.example.com".to_owned()];
        all.push(CertificateReport::new("shop.pem", names, true, expiry));
    }));
    monitor.add_listener(api.listener.clone());
    let served = Served::start(StatusPage::new(&monitor).allow_changes(|_| Ok(Operator::new("ada"))));
    let loads = [shop.load(12, 21), api.load(20, 22)].map(tokio::spawn);
    sleep(HISTORY.mul_f64(0.6)).await;
    shop.health.set_admin_state("shop-6", AdminState::Drain { deadline: None });
    sleep(HISTORY.mul_f64(0.2)).await;
    shop.stop(3);
    sleep(HISTORY.mul_f64(0.2)).await;
    for (name, size, scale, scheme) in
        [("light", (1420, 770), 1, "light"), ("dark", (1420, 770), 1, "dark"), ("narrow", (375, 760), 2, "light")]
    {
        browser.look(size, scale, scheme).await;
        browser.open(&served.url()).await;
        browser
            .until(
                "state('shop-4') === 'unhealthy' && state('shop-6') === 'draining' && row('shop-1').cells.length > 10",
            )
            .await;
        let picture = browser.screenshot().await;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/monitoring/{name}.png"));
        fs::write(path, &picture).expect("a file");
        assert!(picture.len() <= 200 * 1024, "{name}.png has {} bytes", picture.len());
    }
    loads.iter().for_each(JoinHandle::abort);
    browser.end().await;
}

/// Servers that answer after a random time, their pool with its health checks, and a proxy in front of them.
struct Group {
    name: &'static str,
    pool: Pool<Upstream>,
    health: Health,
    listener: WatchedListener,
    /// The address of the proxy.
    address: String,
    servers: Vec<JoinHandle<()>>,
    _ports: Vec<Reserved>,
    _checking: HealthGuard,
}

impl Group {
    async fn start(name: &'static str, servers: usize, millis: f64) -> Self {
        let probe = HttpProbe::new("/health").expect("a path");
        let schedule = Schedule::new().interval(Duration::from_secs(1)).rise(1).fall(1);
        // A busy machine does not count as a fault.
        let schedule = schedule.timeout(Duration::from_secs(20));
        let health = Health::builder().check("http", schedule, probe).build().expect("valid settings");
        let pool = Pool::builder(health.watch(LogEwma::new())).latency_histograms(true).build();
        let ports: Vec<_> = (0..=servers).map(|_| Reserved::new().expect("a free port")).collect();
        let specs = ports[..servers].iter().zip(1..).map(|(port, number)| {
            let spec = EndpointSpec::new(port.address()).with_id(format!("{name}-{number}"));
            let spec = spec.zone(["eu-1a", "eu-1b"][number % 2]);
            if number % 2 == 0 { spec.max_in_flight(64) } else { spec }
        });
        pool.try_update(specs, |spec| Upstream::new(spec.address())).expect("valid endpoints");
        let mut handles = Vec::new();
        for (port, seed) in ports[..servers].iter().zip(0..) {
            let random = Arc::new(SeededEntropy::new(seed));
            let listener = port.listen().expect("a free port");
            handles.push(tokio::spawn(serve(listener, move |request| answer(request, Arc::clone(&random), millis))));
        }
        let server = Server::new(ReverseProxyLayer::new().layer(HttpClient::new(pool.clone())));
        let address = ports[servers].address();
        let listener = WatchedListener::new(address.clone(), "http").server(&server);
        tokio::spawn(server.serve(ports[servers].listen().expect("a free port")));
        let checking = health.spawn(&pool);
        Self { name, pool, health, listener, address, servers: handles, _ports: ports, _checking: checking }
    }

    /// Sends requests on and on, more and less of them in turn: up to one each `millis`.
    fn load(&self, millis: u64, seed: u64) -> impl Future<Output = ()> + Send + use<> {
        let url = format!("http://{}/", self.address);
        async move {
            let (random, client, mut requests) = (SeededEntropy::new(seed), reqwest::Client::new(), JoinSet::new());
            let (mut ticks, started) = (interval(Duration::from_millis(millis)), Instant::now());
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            loop {
                ticks.tick().await;
                while requests.try_join_next().is_some() {}
                if unit(&random) < 0.7 + 0.3 * (started.elapsed().as_secs_f64() / 9.0).sin() {
                    let request = client.get(&url);
                    requests.spawn(async move {
                        if let Ok(response) = request.send().await {
                            let _ = response.bytes().await;
                        }
                    });
                }
            }
        }
    }

    /// Ends a server as if it were killed.
    fn stop(&mut self, index: usize) {
        self.servers[index].abort();
    }
}

/// Answers after a random time, which is seldom long, and seldom with an error.
async fn answer(
    request: Request<Incoming>,
    random: Arc<SeededEntropy>,
    millis: f64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/health" {
        return Ok(Response::default());
    }
    sleep(Duration::from_secs_f64(millis / 1_000.0 * (0.4 - unit(&random).max(1e-9).ln()))).await;
    let mut response = Response::new(Full::from(vec![b'.'; 2_000]));
    if unit(&random) < 0.004 {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

/// Draws a number from 0 to 1.
fn unit(random: &SeededEntropy) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}
