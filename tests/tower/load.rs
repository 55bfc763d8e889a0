use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use equipoise::{
    EndpointSpec, P2c, PeakEwma, Pool, RoundRobin, Strategy,
    tower::{Balance, BalanceLayer, ServedBy, Shared},
};
use equipoise_tests::{Backend, soon};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::{sync::watch, task::JoinSet};
use tower::Layer;

use crate::setup::{client, get, in_flight};

type Balanced = Balance<(), Shared<Client<HttpConnector, Full<bytes::Bytes>>>>;

fn balanced(strategy: impl Strategy, backends: &[Backend]) -> Balanced {
    let pool = Pool::new(strategy);
    pool.update(backends.iter().map(|backend| EndpointSpec::new(backend.address())), |_| ()).unwrap();
    BalanceLayer::new(pool).layer(client())
}

/// One request after the other, until told to stop; each must be answered by whom it says it was.
async fn load(balanced: Balanced, done: watch::Sender<usize>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::SeqCst) {
        let response = balanced.clone().oneshot(get()).await.expect("no client sees an error");
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.extensions().get::<ServedBy>().is_some());
        let body = response.collect().await.expect("no client sees an error").to_bytes();
        assert!(["1", "2", "3"].iter().any(|text| body == *text), "{body:?}");
        done.send_modify(|done| *done += 1);
    }
}

async fn no_client_notices_a_killed_server(strategy: impl Strategy) {
    let mut backends = ["1", "2", "3"].map(|text| Backend::start(text).unwrap());
    let balanced = balanced(strategy, &backends);
    let (done, stop) = (watch::Sender::new(0), Arc::new(AtomicBool::new(false)));
    let more = async |requests: usize| {
        let until = *done.borrow() + requests;
        done.subscribe().wait_for(|done| *done >= until).await.unwrap();
    };
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        clients.spawn(load(balanced.clone(), done.clone(), Arc::clone(&stop)));
    }
    let script = async {
        for _ in 0..3 {
            // The connections to it are open, and in use.
            backends[1].has_served(backends[1].served() + 10).await;
            backends[1].stop().await;
            more(100).await;
            backends[1].restart().unwrap();
        }
    };
    // A client that fails ends at once, and with it the test.
    soon(async {
        tokio::select! {
            () = script => {}
            failed = clients.join_next() => panic!("a client ended early: {failed:?}"),
        }
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    while let Some(client) = soon(clients.join_next()).await {
        client.unwrap();
    }
    assert_eq!(in_flight(balanced.pool()), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_a_killed_server_under_round_robin() {
    no_client_notices_a_killed_server(RoundRobin::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_a_killed_server_under_p2c() {
    no_client_notices_a_killed_server(P2c::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_notices_a_killed_server_under_peak_ewma() {
    // With a long memory, three rounds would take as long as it takes to trust a server again.
    let forgetful = Duration::from_millis(20);
    let strategy = PeakEwma::new().decay(forgetful).and_then(|strategy| strategy.fade(forgetful)).unwrap();
    no_client_notices_a_killed_server(strategy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_share_one_balancer() {
    let backends = ["1", "2", "3"].map(|text| Backend::start(text).unwrap());
    let balanced = balanced(RoundRobin::new(), &backends);
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let balanced = balanced.clone();
        tasks.spawn(async move {
            for _ in 0..9 {
                let response = balanced.clone().oneshot(get()).await.unwrap();
                response.collect().await.unwrap();
            }
        });
    }
    while let Some(task) = soon(tasks.join_next()).await {
        task.unwrap();
    }
    assert_eq!(backends.each_ref().map(Backend::served), [192, 192, 192]);
    assert_eq!(in_flight(balanced.pool()), [0, 0, 0]);
}

#[test]
fn a_balancer_over_hypers_client_can_be_shared_and_sent() {
    fn shared<S: Clone + Send + Sync + 'static>() {}
    fn sent<F: Send>(_: fn(&Balanced) -> F) {}
    shared::<Balanced>();
    sent(|balanced| balanced.clone().oneshot(get()));
}
