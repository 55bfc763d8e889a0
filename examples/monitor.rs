//! A client with health checks, and everything to look at it: a status page, metrics and events. One of three backends
//! fails its checks for ten seconds in every thirty.
//!
//! ```text
//! cargo run --example monitor
//! ```
//!
//! Then open the status page that it prints, or look with `cargo run --example top -- URL`.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use equipoise::{
    EndpointSpec, HttpClient, LogEwma, Pool, Upstream,
    health::{Health, Schedule, probe::HttpProbe},
    monitor::{Monitor, WatchedPool, live::Received, page::StatusPage, prometheus::Exporter},
};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::{net::TcpListener, time};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let started = Instant::now();
    let mut addresses = Vec::new();
    for number in 0..3 {
        addresses.push(start_backend(number == 2, started).await?);
    }

    // A pool with histograms, whose endpoints are checked each second.
    let schedule = Schedule::new().interval(Duration::from_secs(1)).fall(2);
    let health = Health::builder().name("orders").check("http", schedule, HttpProbe::new("/health")?).build()?;
    let pool = Pool::builder(health.watch(LogEwma::new())).latency_histograms(true).build();
    pool.try_update(addresses.into_iter().map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
    let _checks_until_dropped = health.spawn(&pool);

    // What is looked at. Nothing of it is on the way of requests.
    let monitor = Monitor::new();
    monitor.build_info("monitor", env!("CARGO_PKG_VERSION"));
    monitor.add_pool(WatchedPool::new("orders", &pool).health(&health));
    let mut events = monitor.subscribe();
    tokio::spawn(async move {
        while let Some(received) = events.next().await {
            match received {
                Received::Event(event) => println!("{:?}", event.kind),
                Received::Dropped(number) => println!("{number} events were missed"),
                _ => {}
            }
        }
    });
    let app = StatusPage::new(&monitor).router().merge(Exporter::new(&monitor).process(true).router());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("the status page: http://{address}/\nmetrics: http://{address}/metrics");
    tokio::spawn(async move { axum::serve(listener, app).await });

    // The application.
    let client = Arc::new(HttpClient::new(pool));
    let mut ticks = time::interval(Duration::from_millis(20));
    loop {
        tokio::select! {
            _ = ticks.tick() => drop(tokio::spawn(order(Arc::clone(&client)))),
            ended = tokio::signal::ctrl_c() => return Ok(ended?),
        }
    }
}

/// Sends one request and reads its response. What fails is seen on the status page.
async fn order(client: Arc<HttpClient>) {
    if let Ok(response) = client.get("http://orders/today").await {
        let _ = response.into_body().collect().await;
    }
}

/// Starts a backend, and returns its address. With `fails`, it fails its checks for ten seconds in every thirty.
async fn start_backend(fails: bool, started: Instant) -> anyhow::Result<String> {
    let health = move || async move {
        let is_down = fails && started.elapsed().as_secs() % 30 >= 20;
        Ok::<_, Infallible>(if is_down { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
    };
    let app = Router::new().route("/today", get(|| async { "three orders" })).route("/health", get(health));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address.to_string())
}
