//! Custom stores that break their contract do not cause errors for clients.

use std::{
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};

use equipoise::{
    EndpointId,
    affinity::{Affinity, Lookup, Mode, OnUnavailable, SessionStore, StoreError},
};
use equipoise_tests::soon;
use http::StatusCode;

use crate::{
    clients::{Answer, get},
    proxy::Proxy,
    setup::{Servers, affinity, user},
};

/// A store with fixed results that ignores bindings.
struct Odd<F>(F);

impl<F: Fn() -> Lookup + Send + Sync + 'static> SessionStore for Odd<F> {
    fn lookup(&self, _: &[u8]) -> Lookup {
        (self.0)()
    }

    fn bind(&self, _: &[u8], _: &EndpointId, _: Option<&EndpointId>) {}

    fn unbind(&self, _: &[u8]) {}
}

/// Sends three requests.
async fn asked(store: impl SessionStore) -> (Affinity, Vec<Answer>) {
    asked_with(store, OnUnavailable::Rebind).await
}

async fn asked_with(store: impl SessionStore, missing: OnUnavailable) -> (Affinity, Vec<Answer>) {
    let servers = Servers::start(["a", "b", "c"]);
    let pool = servers.pool();
    let affinity = affinity(&pool, Mode::table(user(), Arc::new(store))).lookup_timeout(Duration::from_millis(5));
    let affinity = affinity.missing(missing);
    let proxy = Proxy::start(&pool, &affinity);
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = soon(get(&proxy, "x-user: ada\r\n")).await;
        assert_eq!(answer.status, StatusCode::OK);
        answers.push(answer);
    }
    (affinity, answers)
}

fn garbage() -> Result<Option<EndpointId>, StoreError> {
    Err(StoreError::Malformed { reason: "an essay".into() })
}

#[tokio::test]
async fn an_unavailable_store_does_not_refuse_requests_that_may_have_a_session() {
    let away = || Lookup::Now(Err(StoreError::Unavailable { reason: "at lunch".into() }));
    let (affinity, _) = asked_with(Odd(away), OnUnavailable::Refuse).await;
    assert_eq!((affinity.stats().unbound_for("store_unavailable"), affinity.stats().refused), (3, 0));
}

#[tokio::test]
async fn a_store_that_returns_garbage_counts_as_none() {
    let later = || Lookup::Later(Box::pin(ready(garbage())));
    for (affinity, _) in [asked(Odd(|| Lookup::Now(garbage()))).await, asked(Odd(later)).await] {
        assert_eq!(affinity.stats().unbound_for("store_malformed"), 3);
    }
}

#[tokio::test]
async fn a_store_that_never_answers_counts_as_unreachable() {
    let (affinity, _) = asked(Odd(|| Lookup::Later(Box::pin(pending())))).await;
    assert_eq!(affinity.stats().unbound_for("store_unavailable"), 3);
}

#[tokio::test]
async fn a_store_that_names_an_unknown_endpoint_is_corrected() {
    let (affinity, answers) = asked(Odd(|| Lookup::Now(Ok(Some("unknown".into()))))).await;
    // The substitute is always the same, although the store ignores bindings.
    assert!(answers.iter().all(|answer| answer.outcome() == "moved from unknown: gone"), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.server() == answers[0].server()));
    assert_eq!(affinity.stats().misses(), 0);
}

#[tokio::test]
async fn a_panicking_store_counts_as_unreachable() {
    let later = || Lookup::Later(Box::pin(async { panic!("as it should") }));
    for (affinity, _) in [asked(Odd(|| panic!("as it should"))).await, asked(Odd(later)).await] {
        assert_eq!(affinity.stats().unbound_for("store_unavailable"), 3);
    }
    // Also in `bind` and `unbind`.
    struct Deaf;
    impl SessionStore for Deaf {
        fn lookup(&self, _: &[u8]) -> Lookup {
            Lookup::Now(Ok(None))
        }

        fn bind(&self, _: &[u8], _: &EndpointId, _: Option<&EndpointId>) {
            panic!("as it should");
        }

        fn unbind(&self, _: &[u8]) {
            panic!("as it should");
        }
    }
    let (affinity, _) = asked(Deaf).await;
    assert_eq!(affinity.stats().unbound_for("unknown"), 3);
}
