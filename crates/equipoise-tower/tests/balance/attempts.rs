//! The attempt number and the endpoint, in the extensions of requests and responses and in errors.

use std::{io, sync::Arc};

use equipoise_core::{EndpointId, Pool};
use equipoise_tower::{Attempt, Balance, BalanceLayer, Error};
use http::{Extensions, Response};
use parking_lot::Mutex;
use tower::Layer;

use crate::common::{Frames, Mock, failing, get, mock, pool};

fn noted(extensions: &Extensions) -> Option<(usize, String)> {
    extensions.get().map(|Attempt { number, endpoint, .. }| (*number, endpoint.to_string()))
}

type Log = Arc<Mutex<Vec<Option<(usize, String)>>>>;

/// A service that logs the attempt in the extensions of each request. It answers if `answers` is true and fails
/// otherwise.
fn logging(log: &Log, answers: bool) -> Mock {
    let log = Arc::clone(log);
    mock(move |request| {
        log.lock().push(noted(request.extensions()));
        async move { if answers { Ok(Response::new(Frames::default())) } else { Err(crate::common::not_sent().into()) } }
    })
}

#[tokio::test]
async fn a_retried_request_and_its_response_tell_the_number_and_the_endpoint() {
    let log = Log::default();
    let (pool, _) = pool(&[("a", logging(&log, false)), ("b", logging(&log, false)), ("c", logging(&log, true))]);
    let response = Balance::new(pool).oneshot(get()).await.unwrap();
    assert_eq!(noted(response.extensions()), Some((3, "c".into())));
    assert_eq!(*log.lock(), [None, Some((2, "b".to_owned())), Some((3, "c".to_owned()))]);
}

#[tokio::test]
async fn the_error_tells_the_number_and_the_last_endpoint() {
    let dead = || failing(io::ErrorKind::ConnectionRefused);
    let (pool, _) = pool(&[("a", dead()), ("b", dead()), ("c", dead())]);
    for (tries, attempts, last) in [(1, 1, "a"), (2, 2, "b"), (9, 3, "c")] {
        let error = Balance::new(pool.clone()).max_attempts(tries).oneshot(get()).await.unwrap_err();
        assert_eq!((error.attempts(), error.endpoint().map(EndpointId::as_str)), (attempts, Some(last)));
    }
    let error = Balance::new(Pool::<Mock>::default()).oneshot(get()).await.unwrap_err();
    assert_eq!((error.attempts(), error.endpoint()), (0, None));
}

#[tokio::test]
async fn an_endpoint_with_an_unusable_address_counts_as_an_attempt() {
    let log = Log::default();
    let (some, _) = pool(&[("shard-7", ()), ("10.0.0.1:80", ())]);
    BalanceLayer::new(some).layer(logging(&log, true)).oneshot(get()).await.unwrap();
    assert_eq!(*log.lock(), [Some((2, "10.0.0.1:80".to_owned()))]);
    let (none, _) = pool(&[("shard-7", ()), ("shard-8", ())]);
    let error = BalanceLayer::new(none).layer(logging(&log, true)).oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Address { attempts: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn of_nested_balancers_servers_hear_of_the_inner_one_and_callers_of_the_outer_one() {
    let log = Log::default();
    let (east, _) = pool(&[("e1", logging(&log, false))]);
    let (west, _) = pool(&[("w1", logging(&log, true))]);
    let (regions, _) = pool(&[("east", Balance::new(east)), ("west", Balance::new(west))]);
    let response = Balance::new(regions).oneshot(get()).await.unwrap();
    assert_eq!(noted(response.extensions()), Some((2, "west".into())));
    assert_eq!(*log.lock(), [None, Some((1, "w1".to_owned()))]);
}
