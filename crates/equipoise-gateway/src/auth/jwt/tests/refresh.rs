use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{Response, StatusCode, Uri};
use http_body_util::Full;
use parking_lot::Mutex;
use tokio::time::{advance, sleep};

use super::*;
use crate::auth::jwt::{InvalidKeys, KeysBuilder};

/// An issuer whose responses are a list. The last one is repeated. An empty one never comes.
#[derive(Clone)]
struct Issuer {
    responses: Arc<Mutex<VecDeque<(u16, String)>>>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    fn new(responses: impl IntoIterator<Item = (u16, String)>) -> Self {
        Self { responses: Arc::new(Mutex::new(responses.into_iter().collect())), requests: Arc::default() }
    }

    fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    fn keys(&self) -> KeysBuilder {
        let issuer = self.clone();
        let service = tower::service_fn(move |request: Request<Full<Bytes>>| {
            assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/jwks"));
            issuer.requests.fetch_add(1, Relaxed);
            let mut responses = issuer.responses.lock();
            let next = if responses.len() > 1 { responses.pop_front() } else { responses.front().cloned() };
            let held = Arc::clone(&issuer.requests);
            async move {
                let _held = held;
                let (status, text) = next.expect("a response");
                match status {
                    0 => std::future::pending().await,
                    1 => panic!("the client panics"),
                    2 => return Err("the client fails"),
                    _ => {}
                }
                let mut response = Response::new(Full::<Bytes>::from(text));
                *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                Ok(response)
            }
        });
        Keys::url(Uri::from_static("https://issuer.test/jwks"), service)
    }
}

fn good() -> (u16, String) {
    (200, recorded()["jwks"].to_string())
}

/// Only the keys with these ids.
fn only(ids: &[&str]) -> (u16, String) {
    let mut set = recorded()["jwks"].clone();
    set["keys"].as_array_mut().expect("keys").retain(|key| ids.contains(&key["kid"].as_str().expect("an id")));
    (200, set.to_string())
}

fn started(issuer: &Issuer) -> (Keys, Jwt) {
    let keys = issuer.keys().start().expect("keys");
    (keys.clone(), builder(keys).build().expect("a scheme"))
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_the_first_keys() {
    let issuer = Issuer::new([good()]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.current().is_none());
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Ok(()));
    assert_eq!((issuer.requests(), keys.stats().successes, keys.stats().keys), (1, 1, 4));
    assert!(keys.stats().last_success.is_some() && keys.stats().last_error.is_none());
}

#[tokio::test(start_paused = true)]
async fn requests_get_503_until_there_are_keys() {
    for bad in [
        (500, String::new()),
        (204, String::new()),
        (302, String::new()),
        (200, String::new()),
        (200, "<html>".into()),
        (200, r#"{"keys":[]}"#.into()),
        (200, " ".repeat(256 * 1024 + 1)),
        (200, json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": "A".repeat(43) }] }).to_string()),
        (200, recorded()["public"]["rsa"].as_str().expect("PEM").into()),
        (0, String::new()),
        (1, String::new()),
        (2, String::new()),
    ] {
        let issuer = Issuer::new([bad.clone(), bad.clone(), good()]);
        let (keys, jwt) = started(&issuer);
        assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Err("unavailable".into()), "{bad:?}");
        assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Err("unavailable".into()), "{bad:?}");
        assert_eq!((keys.stats().failures, keys.stats().keys, issuer.requests()), (1, 0, 1), "{bad:?}");
        assert!(keys.stats().last_error.is_some_and(|error| !error.is_empty()));
        assert_eq!(jwt.stats().unavailable, 2, "{bad:?}");
        // The first attempt has just failed, so the next one follows in a second.
        let denied = decide(&jwt, "authorization", "Bearer x").await;
        let Err(AuthFailure::Unavailable { retry_after, .. }) = denied else { panic!("{denied:?}") };
        assert_eq!(retry_after, Duration::from_secs(1));
        // A request without a token is none that the issuer has to do with.
        assert!(matches!(decide(&jwt, "x", "y").await, Err(AuthFailure::Missing)));
        // Two more attempts, after 1 s and 2 s, and 5 s for a response that does not come.
        sleep(Duration::from_secs(9)).await;
        assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Ok(()), "{bad:?}");
        assert_eq!((keys.stats().failures, keys.stats().successes), (2, 1), "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn clients_learn_when_the_keys_are_read_again() {
    let issuer = Issuer::new([(500, String::new())]);
    let (keys, jwt) = started(&issuer);
    assert!(!keys.ready().await);
    // Attempts after 1, 2, 4, 8, 16 and 32 s, of which up to a tenth is left out.
    sleep(Duration::from_secs(45)).await;
    let denied = decide(&jwt, "authorization", "Bearer x").await;
    let Err(AuthFailure::Unavailable { retry_after, .. }) = denied else { panic!("{denied:?}") };
    assert!((Duration::from_secs(10)..=Duration::from_secs(18)).contains(&retry_after), "{retry_after:?}");
    // Timers have milliseconds.
    let (requests, moment) = (issuer.requests(), Duration::from_millis(10));
    sleep(retry_after - moment).await;
    assert_eq!(issuer.requests(), requests);
    sleep(moment * 2).await;
    assert_eq!(issuer.requests(), requests + 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_good_keys_stay_in_use() {
    let issuer = Issuer::new([good(), (500, String::new()), (200, "{".into()), (0, String::new())]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Ok(()));
    let stats = keys.stats();
    assert!(stats.failures > 10 && stats.successes == 1 && stats.keys == 4, "{stats:?}");
    assert_eq!(stats.last_error.as_deref(), Some("there was no whole response in time"));
    // The retries are no flood: at most one in 4.5 minutes in the end.
    assert!(issuer.requests() < 25, "{}", issuer.requests());
}

#[tokio::test(start_paused = true)]
async fn keys_are_replaced_at_each_interval() {
    let issuer = Issuer::new([only(&["rsa"]), only(&["p256"])]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    assert_eq!(verdict(&jwt, recorded_token("RS256")).await, Ok(()));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(issuer.requests(), 2);
    assert_eq!(verdict(&jwt, recorded_token("ES256")).await, Ok(()));
    assert_eq!(verdict(&jwt, recorded_token("RS256")).await, Err("unknown_key".into()));
}

#[tokio::test(start_paused = true)]
async fn keys_expire_after_the_maximum_age() {
    let issuer = Issuer::new([good(), (500, String::new())]);
    let keys = issuer.keys().max_age(Duration::from_secs(600)).start().expect("keys");
    let jwt = builder(keys.clone()).build().expect("a scheme");
    assert!(keys.ready().await);
    sleep(Duration::from_secs(599)).await;
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Ok(()));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Err("unavailable".into()));
    assert_eq!(keys.stats().keys, 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_for_the_first_token_that_needs_it() {
    let issuer = Issuer::new([only(&["rsa"]), good()]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    sleep(Duration::from_secs(30)).await;
    // Many at once need one request.
    let token = recorded_token("ES256");
    let all = futures_of((0..50).map(|_| verdict(&jwt, &token))).await;
    assert!(all.into_iter().all(|verdict| verdict == Ok(())));
    assert_eq!((issuer.requests(), keys.stats().refreshes_for_unknown_keys), (2, 1));
}

/// The keys without their ids.
fn without_ids((status, text): (u16, String)) -> (u16, String) {
    let mut set: Value = serde_json::from_str(&text).expect("JSON");
    for key in set["keys"].as_array_mut().expect("keys") {
        key.as_object_mut().expect("a key").remove("kid");
    }
    (status, set.to_string())
}

/// A key that has signed none of the tokens.
fn other_key() -> (u16, String) {
    let mut set = recorded()["jwks"].clone();
    // The key of RFC 8037, appendix A.
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    set["keys"] = json!([key]);
    (200, set.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_new_key_without_an_id_is_fetched_for_the_first_token_that_needs_it() {
    let (with_id, without_id) = (r#"{"alg":"EdDSA","kid":"ed25519"}"#, r#"{"alg":"EdDSA"}"#);
    for (first, second, header) in [
        (other_key(), without_ids(only(&["ed25519"])), with_id),
        (other_key(), without_ids(only(&["ed25519"])), without_id),
        (other_key(), only(&["ed25519"]), without_id),
    ] {
        let issuer = Issuer::new([first, second]);
        let (keys, jwt) = started(&issuer);
        assert!(keys.ready().await);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(verdict(&jwt, signed(header, &claims().to_string())).await, Ok(()), "{header}");
        assert_eq!((issuer.requests(), keys.stats().refreshes_for_unknown_keys), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_without_an_id_cause_one_request_in_the_cool_down() {
    let issuer = Issuer::new([other_key()]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    for _ in 0..100 {
        let token = signed(r#"{"alg":"EdDSA"}"#, &claims().to_string());
        assert_eq!(verdict(&jwt, token).await, Err("signature".into()));
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!((issuer.requests(), keys.stats().refreshes_for_unknown_keys), (4, 3));
    assert_eq!(jwt.stats().refused.get(&crate::auth::jwt::Refusal::Signature), Some(&100));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_invented_keys_does_not_reach_the_issuer() {
    let issuer = Issuer::new([good()]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    let mut seconds = 0;
    for number in 0..1000 {
        let header = json!({ "alg": "EdDSA", "kid": format!("invented-{number}") }).to_string();
        assert_eq!(verdict(&jwt, signed(&header, &claims().to_string())).await, Err("unknown_key".into()));
        if number % 10 == 0 {
            advance(Duration::from_secs(1)).await;
            seconds += 1;
        }
    }
    assert_eq!((seconds, issuer.requests(), keys.stats().refreshes_for_unknown_keys), (100, 4, 3));
}

#[tokio::test(start_paused = true)]
async fn few_requests_wait_for_an_issuer_that_does_not_respond() {
    let issuer = Issuer::new([good(), (0, String::new())]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    sleep(Duration::from_secs(30)).await;
    let token = signed(r#"{"alg":"EdDSA","kid":"invented"}"#, &claims().to_string());
    let verdicts = futures_of((0..300).map(|_| verdict(&jwt, &token))).await;
    let count = |label: &str| verdicts.iter().filter(|verdict| **verdict == Err(label.into())).count();
    assert_eq!((count("unknown_key"), count("unavailable")), (256, 44));
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn tokens_of_others_do_not_cause_requests() {
    let issuer = Issuer::new([good()]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    sleep(Duration::from_secs(60)).await;
    let unknown = r#"{"alg":"EdDSA","kid":"unknown"}"#;
    for changes in [json!({ "iss": "https://other.test" }), json!({ "aud": "other" }), json!({ "exp": NOW - 60 })] {
        let mut claims = claims();
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        assert_eq!(verdict(&jwt, signed(unknown, &claims.to_string())).await, Err("unknown_key".into()));
    }
    let mut old = claims();
    old["exp"] = json!(NOW - 60);
    let other = builder(keys.clone()).build().expect("a scheme");
    let forged = signed(r#"{"alg":"EdDSA"}"#, &old.to_string()) + "AAAA";
    assert_eq!(verdict(&other, forged).await, Err("signature".into()));
    let other = token_of(Algorithm::Hs256, "unknown", &EncodingKey::from_secret(&[7; 32]).expect("a key"));
    let jwt = builder(keys.clone()).algorithms([Algorithm::EdDsa]).build().expect("a scheme");
    assert_eq!(verdict(&jwt, other).await, Err("algorithm".into()));
    assert_eq!(verdict(&jwt, token_with(json!({})) + "AAAA").await, Err("signature".into()));
    assert_eq!((issuer.requests(), keys.stats().refreshes_for_unknown_keys), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_clone() {
    let issuer = Issuer::new([good()]);
    let (keys, jwt) = started(&issuer);
    assert!(keys.ready().await);
    drop(keys);
    sleep(Duration::from_secs(301)).await;
    assert_eq!(issuer.requests(), 2);
    drop(jwt);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(issuer.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_runs_ends_with_the_last_clone() {
    let issuer = Issuer::new([(0, String::new())]);
    let (keys, jwt) = started(&issuer);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(Arc::strong_count(&issuer.requests), 3);
    drop((keys, jwt));
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&issuer.requests), 1);
}

#[tokio::test(start_paused = true)]
async fn files_are_read_at_the_start_and_again() {
    let folder = std::env::temp_dir().join(format!("equipoise-jwt-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("keys.json");
    let missing = Keys::file(&path).start().expect_err("there is no file");
    assert!(matches!(&missing, InvalidKeys::File { path: found, .. } if *found == path), "{missing}");
    std::fs::write(&path, "{}").expect("a file");
    assert!(matches!(Keys::file(&path).start(), Err(InvalidKeys::File { .. })));
    assert!(matches!(Keys::file(&folder).start(), Err(InvalidKeys::File { .. })));
    std::fs::write(&path, only(&["rsa"]).1).expect("a file");
    let keys = Keys::file(&path).cool_down(Duration::from_secs(1)).refresh_interval(Duration::from_secs(1));
    let keys = keys.start().expect("keys");
    assert_eq!(keys.current().expect("keys").len(), 1);
    std::fs::write(&path, recorded()["public"]["p256"].as_str().expect("PEM")).expect("a file");
    // The clock stands still while a thread reads the file.
    sleep(Duration::from_secs(2)).await;
    assert!(keys.current().expect("keys").verifies(Algorithm::Es256));
    std::fs::write(&path, "-----BEGIN PUBLIC KEY-----").expect("a file");
    sleep(Duration::from_secs(2)).await;
    assert!(keys.current().expect("keys").verifies(Algorithm::Es256) && keys.stats().failures > 0);
    std::fs::remove_dir_all(&folder).expect("the folder");
}

#[test]
fn starting_outside_of_a_runtime_is_an_error() {
    assert!(matches!(Issuer::new([good()]).keys().start(), Err(InvalidKeys::NoRuntime)));
}

#[tokio::test]
async fn settings_of_refreshing_have_a_range() {
    let start = || Issuer::new([good()]).keys();
    for (builder, name) in [
        (start().refresh_interval(Duration::from_millis(999)), "refresh_interval"),
        (start().refresh_interval(Duration::MAX), "refresh_interval"),
        (start().cool_down(Duration::ZERO), "cool_down"),
        (start().fetch_timeout(Duration::ZERO), "fetch_timeout"),
        (start().fetch_timeout(Duration::from_secs(61)), "fetch_timeout"),
        (start().max_age(Duration::from_secs(299)), "max_age"),
    ] {
        let error = builder.start().expect_err("out of range");
        assert!(matches!(&error, InvalidKeys::Setting(error) if error.setting == name), "{error}");
    }
    let service = tower::service_fn(|_: Request<Full<Bytes>>| -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
        ready(Ok(Response::new(Full::default())))
    });
    for uri in ["/jwks", "issuer.test:443", "ftp://issuer.test/", "https://user@issuer.test/"] {
        assert!(matches!(Keys::url(uri.parse().expect("a URI"), service).start(), Err(InvalidKeys::Url)), "{uri}");
    }
    let keys = start().start().expect("keys");
    let secret_only = builder(keys).algorithms([Algorithm::Hs256]).build().map(drop);
    assert!(matches!(secret_only, Err(crate::auth::jwt::InvalidJwt::NoKey { .. })));
}

/// Polls all futures in one task.
async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in &mut futures {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *output = Some(value);
            }
        }
        match futures.iter().all(|(_, output)| output.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    futures.into_iter().filter_map(|(_, output)| output).collect()
}
