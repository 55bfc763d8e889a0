//! The behaviour of modes that are built from text.

use std::{sync::Arc, time::Duration};

use http::Request;

use super::{keys, pool, spec};
use crate::{
    Affinity, UnboundReason,
    by_name::{BuildAffinityError, BuildContext},
    table::SessionTable,
    token::Tokens,
};

fn built(text: &str) -> Affinity {
    spec(text).build(&pool(), &super::context()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_happens_without_an_endpoint_and_factors_arrive() {
    let affinity = built("header(name=x, by=store, missing=refuse, unavailable=wait(2.5s))");
    assert_eq!(format!("{affinity:?}"), "Affinity { missing: Refuse, unavailable: Wait(2.5s), max_share: None, .. }");
    let affinity = built("learn(cookie=x, by=store, max-share=1.25, lookup-timeout=20ms)");
    assert_eq!(format!("{affinity:?}"), "Affinity { missing: Rebind, unavailable: Rebind, max_share: Some(1.25), .. }");
    assert_eq!(affinity.store_timeout(), Duration::from_millis(20));
    let none = built("none");
    assert_eq!(format!("{none:?}"), "Affinity { missing: Rebind, unavailable: Rebind, max_share: None, .. }");
}

#[test]
fn only_by_hash_places_by_key() {
    for (text, expected) in [
        ("header(name=x, by=hash)", true),
        ("header(name=x)", false),
        ("source(by=hash)", true),
        ("cookie(name=x)", false),
        ("learn(cookie=x)", false),
        ("none", false),
    ] {
        assert_eq!(spec(text).places_by_key(), expected, "{text}");
    }
}

#[tokio::test]
async fn requests_go_where_the_text_says() {
    let routed = Request::get("/").header("cookie", "JSESSIONID=6A3F.10.0.0.2:80").body(()).unwrap();
    for (text, expected) in [
        ("route(cookie=JSESSIONID)", Ok("10.0.0.2:80".into())),
        // No endpoint has this name.
        ("route(cookie=JSESSIONID, whole)", Err(UnboundReason::Unknown)),
        ("route(cookie=other)", Err(UnboundReason::Absent)),
        ("route(cookie=JSESSIONID, max-key-len=3)", Err(UnboundReason::Oversized)),
        ("cookie(name=JSESSIONID)", Err(UnboundReason::Token(crate::token::InvalidToken::Malformed))),
        ("learn(cookie=JSESSIONID)", Err(UnboundReason::Unknown)),
        ("none", Err(UnboundReason::Off)),
    ] {
        assert_eq!(built(text).explain(&routed).await.endpoint, expected, "{text}");
    }
    let whole = Request::get("/").header("cookie", "JSESSIONID=10.0.0.2:80").body(()).unwrap();
    assert_eq!(built("route(cookie=JSESSIONID, whole)").explain(&whole).await.endpoint, Ok("10.0.0.2:80".into()));
    let refusing = built("route(cookie=other, missing=refuse)").explain(&routed).await;
    assert!(refusing.pick.is_err());

    let named = Request::get("/").header("cookie", "SRV=B").body(()).unwrap();
    let text = "cookie(name=SRV, values=name, names={10.0.0.1:80=A, 10.0.0.2:80=B})";
    assert_eq!(built(text).explain(&named).await.endpoint, Ok("10.0.0.2:80".into()));
}

#[tokio::test]
async fn tokens_are_read_with_the_keys_that_were_handed_over() {
    let tokens = Arc::new(Tokens::new(keys(), "SRV"));
    let id: equipoise_core::EndpointId = "10.0.0.3:80".into();
    let token = tokens.issue(&id, None, std::time::SystemTime::now()).expect("the ring signs");
    let request = Request::get("/").header("cookie", format!("SRV={token}")).body(()).unwrap();
    let spec = spec("cookie(name=SRV, idle-timeout=30m)");
    for context in [BuildContext::new().keys(keys()), BuildContext::new().tokens(tokens)] {
        let affinity = spec.build(&pool(), &context).unwrap();
        assert_eq!(affinity.explain(&request).await.endpoint, Ok(id.clone()));
    }
}

#[tokio::test]
async fn the_store_that_was_handed_over_is_asked() {
    let table = SessionTable::builder().build().unwrap();
    let store: Arc<dyn crate::SessionStore> = Arc::new(table);
    store.bind(b"ada", &"10.0.0.2:80".into(), None);
    let context = BuildContext::new().store(Arc::clone(&store));
    let affinity = spec("header(name=x-user, by=store)").build(&pool(), &context).unwrap();
    let request = Request::get("/").header("x-user", "ada").body(()).unwrap();
    assert_eq!(affinity.explain(&request).await.endpoint, Ok("10.0.0.2:80".into()));
}

#[tokio::test]
async fn a_peer_that_was_handed_over_is_the_source() {
    let context = BuildContext::new().peer(|_| Some([192, 0, 2, 7].into()));
    let affinity = spec("source").build(&pool(), &context).unwrap();
    assert_eq!(affinity.explain(&Request::new(())).await.endpoint, Err(UnboundReason::Unknown));
    let affinity = spec("source").build(&pool(), &BuildContext::new()).unwrap();
    assert_eq!(affinity.explain(&Request::new(())).await.endpoint, Err(UnboundReason::Absent));
}

#[test]
fn what_a_mode_needs_and_does_not_get_is_said() {
    for (text, message) in [
        (
            "cookie(name=SRV)",
            "cookie needs keys for its tokens, which are not in the text: pass them to BuildContext::keys, or set values=id if clients may know and choose endpoints",
        ),
        (
            "prefix(name=SRV, values=dynamic)",
            "prefix needs the key for the hashes of values=dynamic, which is not in the text: pass it to BuildContext::dynamic_key",
        ),
        (
            "learn(header=mcp-session-id, by=store)",
            "learn needs the session store for by=store: pass it to BuildContext::store, or set by=table",
        ),
    ] {
        assert_eq!(spec(text).build(&pool(), &BuildContext::new()).unwrap_err().to_string(), message);
    }
    let pool = equipoise_core::Pool::<()>::default();
    pool.update([equipoise_core::EndpointSpec::new("a;b")], |_| ()).unwrap();
    let invalid = spec("cookie(name=SRV, values=id)").build(&pool, &BuildContext::new());
    assert!(matches!(invalid, Err(BuildAffinityError::Mode(_))));
}

#[cfg(feature = "redis")]
#[test]
fn redis_needs_a_url_and_a_runtime() {
    use crate::redis::InvalidRedisStore;

    let elsewhere = spec("host(by=redis, url=http://10.0.0.1)").build(&pool(), &BuildContext::new());
    assert!(matches!(elsewhere, Err(BuildAffinityError::Redis(InvalidRedisStore::Url { .. }))));
    let here = spec("host(by=redis, url=redis://127.0.0.1:1)");
    assert_eq!(
        here.build(&pool(), &BuildContext::new()).unwrap_err(),
        BuildAffinityError::Redis(InvalidRedisStore::NoRuntime)
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    assert!(here.build(&pool(), &BuildContext::new()).is_ok());
}

#[test]
fn contexts_show_no_secrets() {
    let text = format!("{:?}", BuildContext::new().keys(keys()).dynamic_key("pepper"));
    assert_eq!(text, "BuildContext { keys: true, dynamic_key: true, store: false, peer: false, .. }");
}

#[tokio::test]
async fn rules_are_those_of_the_text() {
    use equipoise_core::{Availability, EndpointId, Explanation};
    use http::Request;

    let pool = pool();
    pool.set_availability("10.0.0.2:80", Availability::Maintenance).expect("a member");
    let text = "cookie(name=SRV, values=id, force-cookie=maintenance, ignore-paths={/static, /img})";
    let affinity = spec(text).build(&pool, &super::context()).expect("it fits");
    let picked = async |path: &str, cookies: &str| {
        let request = Request::get(path).header("cookie", cookies).body(()).expect("a request");
        let explained = affinity.explain(&request).await;
        (explained.endpoint.ok().map(|id| id.to_string()), explained.pick.map(|Explanation { picked, .. }| picked))
    };
    let (forced, bound) = (Ok(Ok(EndpointId::from("10.0.0.2:80"))), Some("10.0.0.2:80".to_owned()));
    assert_eq!(picked("/", "SRV=10.0.0.2:80; maintenance=1").await, (bound.clone(), forced.clone()));
    let (found, pick) = picked("/", "SRV=10.0.0.2:80; maintenance=").await;
    assert!(found == bound && pick != forced);
    let (found, pick) = picked("/static/x", "SRV=10.0.0.2:80; maintenance=1").await;
    assert!(found.is_none() && pick != forced);
}
