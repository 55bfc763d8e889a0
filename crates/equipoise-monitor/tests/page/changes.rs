use equipoise_core::Availability;
use equipoise_health::AdminState;
use equipoise_monitor::live::{MonitorEventKind, Received};
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::common::{Setup, request, text};

/// A request that drains the endpoint `a` of the pool `web`, with all that is needed.
async fn drain(setup: &Setup) -> http::request::Builder {
    let token = setup.json("/status.json").await["csrf_token"].as_str().unwrap_or_default().to_owned();
    request("/endpoints")
        .method(Method::POST)
        .header("x-user", "ada")
        .header("x-csrf-token", token)
        .header("content-type", "application/json")
}

fn body(pool: &str, endpoint: &str, state: &str) -> Full<bytes::Bytes> {
    Full::from(json!({ "pool": pool, "endpoint": endpoint, "state": state }).to_string())
}

#[tokio::test(start_paused = true)]
async fn an_operator_drains_an_endpoint_and_takes_it_back() {
    let setup = Setup::new().writable();
    assert_eq!(setup.json("/status.json").await["writable"], true);
    for (state, availability) in [
        ("drain", Availability::Draining),
        ("maintenance", Availability::Maintenance),
        ("maintenance", Availability::Maintenance),
        ("ready", Availability::Up),
    ] {
        let response = setup.send(drain(&setup).await.body(body("web", "a", state)).unwrap()).await;
        assert_eq!(response.status(), 200, "{state}");
        // The pool has applied it before the answer is sent.
        assert_eq!(setup.web.availability("a"), Some(availability));
        let answer: Value = serde_json::from_str(&text(response).await).unwrap();
        assert_eq!(
            (&answer["pool"], &answer["state"], &answer["applied"]),
            (&json!("web"), &json!(state), &json!(true))
        );
        assert_eq!(answer["endpoint"]["id"], "a");
        assert_eq!(answer["endpoint"]["availability"], availability.to_string());
    }
    assert_eq!(setup.web.availability("b"), Some(Availability::Up));
}

#[tokio::test]
async fn each_command_is_an_event_with_the_name_of_the_operator() {
    let setup = Setup::new().writable();
    let mut events = setup.monitor.subscribe();
    setup.send(drain(&setup).await.body(body("web", "a", "drain")).unwrap()).await;
    setup.send(drain(&setup).await.body(body("web", "x", "drain")).unwrap()).await;
    setup.send(request("/endpoints").method(Method::POST).body(body("web", "a", "ready")).unwrap()).await;
    setup.monitor.record(MonitorEventKind::Reloaded { result: "ok", detail: String::new() });
    let mut commands = Vec::new();
    while let Some(Received::Event(event)) = events.next().await {
        match event.kind.clone() {
            MonitorEventKind::Reloaded { .. } => break,
            MonitorEventKind::Command { pool, endpoint, state, by } => {
                commands.push((pool.to_string(), endpoint.to_string(), state, by));
            }
            _ => {}
        }
    }
    assert_eq!(commands, [("web".to_owned(), "a".to_owned(), "drain", "ada".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_form_is_a_command_too() {
    let setup = Setup::new().writable();
    let mut request = drain(&setup).await.body(Full::from("pool=web&endpoint=b&state=drain")).unwrap();
    request.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    assert_eq!(setup.send(request).await.status(), 200);
    assert_eq!(setup.web.availability("b"), Some(Availability::Draining));
}

#[tokio::test]
async fn a_page_permits_no_changes_by_default() {
    let setup = Setup::new();
    let state = setup.json("/status.json").await;
    assert_eq!((&state["writable"], state.get("csrf_token")), (&json!(false), None));
    let response = setup.send(drain(&setup).await.body(body("web", "a", "drain")).unwrap()).await;
    assert_eq!(response.status(), 403);
    assert!(text(response).await.contains("StatusPage::allow_changes"));
    assert_eq!(setup.web.availability("a"), Some(Availability::Up));
}

#[tokio::test]
async fn changes_without_all_that_is_needed_are_refused() {
    let setup = Setup::new().writable();
    let refused = async |change: &dyn Fn(&mut Request<Full<bytes::Bytes>>)| {
        let mut request = drain(&setup).await.body(body("web", "a", "drain")).unwrap();
        change(&mut request);
        let response = setup.send(request).await;
        let challenge = response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(setup.web.availability("a"), Some(Availability::Up));
        (response.status().as_u16(), challenge, text(response).await)
    };
    let header = |name: &'static str, value: &'static str| {
        move |request: &mut Request<Full<bytes::Bytes>>| {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
    };
    let (status, challenge, _) = refused(&|request| drop(request.headers_mut().remove("x-user"))).await;
    assert_eq!((status, challenge.as_deref()), (401, Some("Basic realm=\"status page\", charset=\"UTF-8\"")));
    assert_eq!(refused(&header("x-user", "guest")).await.0, 403);
    let (status, _, text) = refused(&|request| drop(request.headers_mut().remove("x-csrf-token"))).await;
    assert!(status == 403 && text.contains("X-CSRF-Token"), "{status} {text}");
    assert_eq!(refused(&header("x-csrf-token", "0")).await.0, 403);
    assert_eq!(refused(&header("origin", "http://evil.test")).await.0, 403);
    assert_eq!(refused(&header("origin", "null")).await.0, 403);
    assert_eq!(refused(&header("sec-fetch-site", "cross-site")).await.0, 403);
    assert_eq!(refused(&header("content-type", "text/plain")).await.0, 415);
    assert_eq!(refused(&|request| *request.body_mut() = Full::from("{}")).await.0, 400);
    assert_eq!(refused(&|request| *request.body_mut() = Full::from(vec![b' '; 5_000])).await.0, 413);
    assert_eq!(refused(&|request| *request.method_mut() = Method::GET).await.0, 405);
    assert_eq!(refused(&header("host", "evil.test")).await.0, 421);
}

#[tokio::test]
async fn the_token_of_another_page_is_not_accepted() {
    let (one, other) = (Setup::new().writable(), Setup::new().writable());
    let request = drain(&one).await.body(body("web", "a", "drain")).unwrap();
    assert_eq!(other.send(request).await.status(), 403);
}

#[tokio::test]
async fn commands_for_what_does_not_exist_are_refused() {
    let setup = Setup::new().writable();
    for (pool, endpoint, status, right) in [
        ("x", "a", 404, "there is no pool \"x\": the pools are \"web\", \"plain\""),
        ("web", "x\n", 404, "the pool \"web\" has no endpoint \"x\\n\""),
        ("plain", "c", 409, "its health is not watched"),
        ("plain", "x", 404, "has no endpoint"),
    ] {
        let response = setup.send(drain(&setup).await.body(body(pool, endpoint, "drain")).unwrap()).await;
        assert_eq!(response.status(), status, "{pool} {endpoint}");
        let answer = text(response).await;
        assert!(answer.contains(right), "{answer}");
    }
    // Nothing is stored for endpoints that may come.
    assert!(setup.health.status("x\n").is_none());
}

#[tokio::test]
async fn the_reason_of_a_state_is_shown() {
    let setup = Setup::new();
    setup.health.set_admin_state("a", AdminState::Maintenance);
    let mut updates = setup.get("/updates").await.into_body();
    loop {
        let data = crate::common::message(&mut updates).await.data;
        let rows = data["pools"][0]["endpoints"].as_array().unwrap();
        // The reason may come before the availability, which the pool applies later.
        let conditions = rows.iter().find(|row| row["id"] == "a").map(|row| &row["conditions"][0]);
        if let Some(condition) = conditions.filter(|condition| condition["source"] == "operator") {
            assert_eq!(condition["availability"], "maintenance");
            assert!(condition["since"].as_f64().unwrap() < 60.0);
            break;
        }
    }
}
