//! Requests and responses that are not HTTP.

use std::io;

use equipoise_core::{Failure, Pool, Verdict};
use equipoise_tower::{Balance, BoxError, PlainProtocol};
use tower::{service_fn, util::BoxCloneSyncService};

use crate::common::{Recorder, in_flight, pool};

type Server = BoxCloneSyncService<&'static str, String, BoxError>;

fn server(name: &'static str) -> Server {
    BoxCloneSyncService::new(service_fn(move |query| async move { Ok(format!("{query} from {name}")) }))
}

fn resetting() -> Server {
    BoxCloneSyncService::new(service_fn(|_| async { Err(io::Error::from(io::ErrorKind::ConnectionReset).into()) }))
}

fn refusing() -> Server {
    BoxCloneSyncService::new(service_fn(|_| async { Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()) }))
}

fn two(a: Server) -> (Pool<Server>, Recorder) {
    pool(&[("a", a), ("b", server("b"))])
}

#[tokio::test]
async fn nothing_is_sent_twice_unless_asked_for() {
    for a in [refusing(), resetting()] {
        let (pool, _) = two(a);
        Balance::with_protocol(pool, PlainProtocol::new()).oneshot("q").await.unwrap_err();
    }
}

#[tokio::test]
async fn requests_that_may_be_repeated_fail_over() {
    let protocol = PlainProtocol::new().failover(|query: &&str| query.starts_with("select"));
    let refused = Balance::with_protocol(two(refusing()).0, protocol.clone());
    assert_eq!(refused.clone().oneshot("select").await.unwrap(), "select from b");
    assert_eq!(refused.oneshot("insert").await.unwrap(), "insert from b");
    let reset = Balance::with_protocol(two(resetting()).0, protocol);
    assert_eq!(reset.clone().oneshot("select").await.unwrap(), "select from b");
    reset.oneshot("insert").await.unwrap_err();
}

#[tokio::test]
async fn the_key_places_and_the_classifier_judges() {
    let (pool, recorder) = two(server("a"));
    let protocol =
        PlainProtocol::new().key(|query: &&str| Some(query.as_bytes().into())).classify(|answer: &String| {
            if answer.ends_with("from b") { Verdict::Failure(Failure::Server) } else { Verdict::Success }
        });
    let balance = Balance::with_protocol(pool.clone(), protocol);
    assert_eq!(balance.clone().oneshot("b").await.unwrap(), "b from b");
    assert_eq!(balance.oneshot("a").await.unwrap(), "a from a");
    let verdicts = [("b".into(), Verdict::Failure(Failure::Server)), ("a".into(), Verdict::Success)];
    assert_eq!(recorder.verdicts(), verdicts);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn a_panic_in_a_closure_harms_nothing() {
    let (pool, recorder) = two(resetting());
    let protocol = PlainProtocol::new()
        .key(|_: &&str| panic!("a user's mistake"))
        .classify(|_: &String| panic!("a user's mistake"))
        .failover(|query: &&str| if *query == "never" { panic!("a user's mistake") } else { true });
    let balance = Balance::with_protocol(pool.clone(), protocol);
    balance.clone().oneshot("never").await.unwrap_err();
    assert_eq!(balance.oneshot("q").await.unwrap(), "q from b");
    let broken = ("a".to_owned(), Verdict::Failure(Failure::Transport));
    assert_eq!(recorder.verdicts(), [broken.clone(), broken, ("b".into(), Verdict::Neutral)]);
    assert_eq!(in_flight(&pool), [0, 0]);
}
