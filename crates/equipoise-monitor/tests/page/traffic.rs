//! How much is sent for a large pool. The test prints it; it asserts no speed.

use std::time::{Duration, Instant};

use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool, Verdict};
use equipoise_monitor::{Monitor, WatchedPool, page::StatusPage};
use tower::ServiceExt;

use crate::common::{frame, get};

const ENDPOINTS: usize = 1_000;

/// Returns the length of the state, and the mean length of an update while `busy` of the endpoints get requests.
async fn measure(busy: usize) -> (usize, usize) {
    let pool: Pool<()> = Pool::builder(P2c::new()).latency_histograms(true).build();
    let address = |index: usize| EndpointSpec::new(format!("10.0.{}.{}:8080", index / 250, index % 250));
    pool.update((0..ENDPOINTS).map(address), |_| ()).expect("valid endpoints");
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", &pool));
    let page = StatusPage::new(&monitor);
    let ids: Vec<_> = pool.endpoints().into_iter().take(busy).map(|endpoint| endpoint.id).collect();
    let serve = || {
        for id in &ids {
            for _ in 0..5 {
                pool.pick(&PickRequest::new().prefer(id)).expect("an endpoint").finish(Verdict::Success);
            }
        }
    };
    // After two minutes, histories are full.
    for _ in 0..125 {
        serve();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mut updates = page.clone().oneshot(get("/updates")).await.expect("no error").into_body();
    frame(&mut updates).await.expect("the state");
    let mut lengths = Vec::new();
    for _ in 0..10 {
        serve();
        lengths.push(frame(&mut updates).await.expect("an update").len());
    }
    let length = lengths.iter().sum::<usize>() / lengths.len();
    let started = Instant::now();
    let state = page.oneshot(get("/status.json")).await.expect("no error");
    println!("{busy} of {ENDPOINTS} endpoints busy: the state was made in {:?}", started.elapsed());
    (http_body::Body::size_hint(state.body()).exact().expect("a length") as usize, length)
}

#[tokio::test(start_paused = true)]
#[ignore = "prints how much is sent for a large pool"]
async fn the_length_of_messages_for_a_large_pool() {
    for busy in [0, 10, 100, ENDPOINTS] {
        let (state, update) = measure(busy).await;
        println!(
            "{busy} of {ENDPOINTS} endpoints busy: state {} KB, update {:.1} KB per second",
            state / 1_000,
            update as f64 / 1e3
        );
    }
}
