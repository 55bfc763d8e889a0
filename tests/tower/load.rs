use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use equipoise::{
    EndpointSpec, P2c, PeakEwma, Pool, RoundRobin, Strategy,
    tower::{Balance, BalanceLayer, ServedBy, SharedClient},
};
use equipoise_tests::{Backend, soon};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use tokio::{sync::watch, task::JoinSet};
use tower::Layer;

use crate::setup::{client, get, in_flight};

/// Much longer than a response takes, also on a busy machine.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

type Balanced = Balance<(), SharedClient<Client<HttpConnector, Full<bytes::Bytes>>>>;

fn balanced(strategy: impl Strategy, backends: &[Backend]) -> Balanced {
    let pool = Pool::new(strategy);
    pool.update(backends.iter().map(|backend| EndpointSpec::new(backend.address())), |_| ()).unwrap();
    BalanceLayer::new(pool).layer(client())
}

/// Sends one request after the other until `stop` is set. Each response must come from the endpoint that it names.
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

async fn a_killed_server_causes_no_errors(strategy: impl Strategy) {
    let mut backends = ["1", "2", "3"].map(|text| Backend::start(text).unwrap());
    // hyper's client can lose a request that is sent at the moment when its connection ends, and then never responds:
    // https://github.com/hyperium/hyper/issues/4122
    let balanced = balanced(strategy, &backends).attempt_timeout(ATTEMPT_TIMEOUT);
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
            // Its connections are open and in use.
            backends[1].has_served(backends[1].served() + 10).await;
            backends[1].stop().await;
            more(100).await;
            backends[1].restart().unwrap();
        }
    };
    // A failing client ends the test at once.
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
    // The connections of the other servers have not ended, so none of their requests was lost.
    let [one, _, three] = &balanced.pool().endpoints()[..] else { panic!("not three endpoints") };
    assert_eq!([one, three].map(|endpoint| endpoint.requests.failure_timeout), [0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_causes_no_errors_under_round_robin() {
    a_killed_server_causes_no_errors(RoundRobin::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_causes_no_errors_under_p2c() {
    a_killed_server_causes_no_errors(P2c::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_causes_no_errors_under_peak_ewma() {
    // With a slow decay, each of the three rounds would wait until the server gets requests again.
    let forgetful = Duration::from_millis(20);
    let strategy = PeakEwma::new().decay(forgetful).and_then(|strategy| strategy.fade(forgetful)).unwrap();
    a_killed_server_causes_no_errors(strategy).await;
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
fn a_balancer_over_hypers_client_is_clone_send_and_sync() {
    fn shared<S: Clone + Send + Sync + 'static>() {}
    fn sent<F: Send>(_: fn(&Balanced) -> F) {}
    shared::<Balanced>();
    sent(|balanced| balanced.clone().oneshot(get()));
}
