use equipoise_affinity::{
    Affinity, Mode,
    key::SessionKey,
    source::{ClientAddress, PeerAddr},
};
use equipoise_core::{EndpointSpec, Maglev, PickRequest, Pool, RoundRobin, SourcePrefix};
use equipoise_monitor::{
    WatchedPool,
    page::{ExplainAnswer, ExplainQuestion},
};
use http_body_util::Full;
use serde_json::json;

use crate::common::{Setup, request, text};

#[tokio::test]
async fn an_explanation_lists_each_endpoint_with_its_reason() {
    let setup = Setup::new();
    setup.web.drain("b").unwrap();
    let explained = setup.json("/explain?pool=web&path=/x").await;
    assert_eq!(
        (&explained["pool"], &explained["picked"], &explained["error"]),
        (&json!("web"), &json!("a"), &json!(null))
    );
    assert_eq!(explained["binding"], json!({ "outcome": "unbound", "reason": null }));
    let candidates = explained["candidates"].as_array().unwrap();
    let words: Vec<_> =
        candidates.iter().map(|it| (it["id"].as_str(), it["result"].as_str(), it["reason"].as_str())).collect();
    assert_eq!(
        words,
        [
            (Some("a"), Some("picked"), Some("the strategy picks it")),
            (Some("b"), Some("draining"), Some("draining: serves only requests that are bound to it")),
        ]
    );
    assert!(explained["text"].as_str().unwrap().starts_with("picked a"));
    // Nothing was sent.
    assert_eq!(setup.web.stats().attempts.total, 0);
}

#[tokio::test]
async fn an_explanation_can_be_text() {
    let setup = Setup::new();
    let request = request("/explain?pool=web").header("accept", "text/plain").body(Full::default()).unwrap();
    let explained = text(setup.send(request).await).await;
    assert!(explained.starts_with("pool web\npicked a at revision"), "{explained}");
}

#[tokio::test]
async fn the_error_of_the_pick_is_told() {
    let setup = Setup::new();
    setup.plain.remove("c").unwrap();
    let explained = setup.json("/explain?pool=plain").await;
    assert_eq!((&explained["picked"], &explained["error"]), (&json!(null), &json!("the pool has no endpoints")));
    assert_eq!(explained["candidates"], json!([]));
}

#[tokio::test]
async fn a_key_is_explained_by_the_code_that_picks() {
    let setup = Setup::new();
    let pool: Pool<()> = Pool::new(Maglev::new());
    pool.update(["a", "b", "c"].map(EndpointSpec::new), |_| ()).unwrap();
    setup.monitor.add_pool(WatchedPool::new("keyed", &pool));
    for key in ["ada", "bob", "eve", "ä & ö"] {
        let picked = pool.pick(&PickRequest::new().key(key.as_bytes())).unwrap().endpoint().id().to_string();
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("key", key).finish();
        assert_eq!(setup.json(&format!("/explain?pool=keyed&{query}")).await["picked"], picked);
    }
    let explained = setup.json("/explain?pool=keyed&client=192.0.2.7").await;
    assert_eq!(explained["steps"], json!(["the key is the address 192.0.2.7"]));
}

#[tokio::test]
async fn a_session_is_explained_by_the_affinity_of_the_pool() {
    let setup = Setup::new();
    let pool: Pool<()> = Pool::new(Maglev::new());
    pool.update(["a", "b", "c"].map(EndpointSpec::new), |_| ()).unwrap();
    let key = SessionKey::header("x-user").unwrap().or(SessionKey::cookie("sid").unwrap());
    let affinity = Affinity::new(&pool, Mode::hash(key)).unwrap();
    setup.monitor.add_pool(WatchedPool::new("sessions", &pool).affinity(&affinity));
    let header = setup.json("/explain?pool=sessions&header=X-User:%20ada").await;
    assert_eq!(header["steps"], json!(["the strategy places the session by its key"]));
    assert_eq!(setup.json("/explain?pool=sessions&cookie=sid%3Dada").await["picked"], header["picked"]);
    let without = setup.json("/explain?pool=sessions").await;
    assert!(without["steps"][0].as_str().unwrap().starts_with("the session is not bound"), "{without}");
}

#[tokio::test]
async fn the_address_of_the_client_is_known_to_the_affinity() {
    let setup = Setup::new();
    let pool: Pool<()> = Pool::new(Maglev::new());
    pool.update(["a", "b", "c"].map(EndpointSpec::new), |_| ()).unwrap();
    let affinity =
        Affinity::new(&pool, Mode::hash(SessionKey::source(ClientAddress::connection(), SourcePrefix::default())))
            .unwrap();
    setup.monitor.add_pool(WatchedPool::new("clients", &pool).affinity(&affinity));
    let mut request = http::Request::new(());
    request.extensions_mut().insert(PeerAddr("192.0.2.7:1234".parse().unwrap()));
    let right = affinity.explain(&request).await.pick.unwrap().picked.unwrap();
    assert_eq!(setup.json("/explain?pool=clients&client=192.0.2.7").await["picked"], right.as_str());
}

#[tokio::test]
async fn an_application_explains_what_it_decides_itself() {
    let setup = Setup::new();
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    pool.update(["a"].map(EndpointSpec::new), |_| ()).unwrap();
    let explained = pool.clone();
    let watched = WatchedPool::new("own", &pool).explain_with(move |question: ExplainQuestion| {
        let answer = match question.request.uri().path() {
            "/missing" => Err("no route has this path".to_owned()),
            path => Ok(ExplainAnswer::from(explained.explain(&PickRequest::new())).step(format!("route {path}"))),
        };
        async { answer }
    });
    setup.monitor.add_pool(watched);
    assert_eq!(setup.json("/explain?pool=own&path=/x%3Fy").await["steps"], json!(["route /x"]));
    let refused = setup.get("/explain?pool=own&path=/missing").await;
    assert_eq!((refused.status().as_u16(), text(refused).await.as_str()), (400, "no route has this path\n"));
}

#[tokio::test(start_paused = true)]
async fn an_explanation_that_does_not_end_is_given_up() {
    let setup = Setup::new();
    let watched = WatchedPool::new("stuck", &setup.plain).explain_with(|_| std::future::pending());
    setup.monitor.add_pool(watched);
    assert_eq!(setup.get("/explain?pool=stuck").await.status(), 504);
}

#[tokio::test]
async fn wrong_questions_are_refused_with_what_would_be_right() {
    let setup = Setup::new();
    for (query, right) in [
        ("", "name the pool as pool=NAME: the pools are \"web\", \"plain\""),
        ("?pool=x%0Ay", "there is no pool \"x\\ny\": the pools are \"web\", \"plain\""),
        ("?pool=web&user=ada", "there is no parameter \"user\": the parameters are pool=NAME"),
        ("?pool=web&client=here", "\"here\" is not an address"),
    ] {
        let response = setup.get(&format!("/explain{query}")).await;
        assert_eq!(response.status(), 400, "{query}");
        let answer = text(response).await;
        assert!(answer.starts_with(right) && answer.matches('\n').count() == 1, "{query}: {answer}");
    }
}
