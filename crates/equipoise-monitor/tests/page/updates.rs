use std::time::Duration;

use equipoise_core::{Availability, EndpointSpec, PickRequest, Pool};
use equipoise_monitor::WatchedPool;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::common::{Setup, frame, get, message, serve, text};

fn row<'v>(pool: &'v Value, id: &str) -> Option<&'v Value> {
    pool["endpoints"].as_array()?.iter().find(|row| row["id"] == id)
}

#[tokio::test(start_paused = true)]
async fn a_stream_begins_with_the_whole_state() {
    let setup = Setup::new();
    serve(&setup.web);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await;
    assert_eq!(updates.headers()["content-type"], "text/event-stream");
    assert_eq!(updates.headers()["cache-control"], "no-store");
    let state = message(updates.body_mut()).await;
    assert_eq!((state.event.as_str(), state.id), ("state", state.data["tick"].as_u64().unwrap()));
    let web = &state.data["pools"][0];
    assert_eq!((&web["name"], &web["stats"]["attempts"]["success"]), (&json!("web"), &json!(1)));
    assert_eq!(row(web, "a").unwrap()["availability"], "up");
    assert_eq!(row(web, "a").unwrap()["requests"]["total"], 1);
    assert_eq!(row(web, "b").unwrap()["requests"]["total"], 0);
    assert!(row(web, "a").unwrap()["latency"]["p50"].is_number());
    assert_eq!(state.data["pools"][1]["endpoints"][0]["latency"], json!(null));
    // The same as without a stream.
    assert_eq!(setup.json("/status.json").await, state.data);
    assert_eq!(setup.json("/").await, state.data);
}

#[tokio::test(start_paused = true)]
async fn an_update_has_only_what_has_changed() {
    let setup = Setup::new();
    // Until the first states, which the new pools cause, were made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await.into_body();
    let state = message(&mut updates).await;
    serve(&setup.web);
    let update = message(&mut updates).await;
    assert_eq!(update.event, "update");
    assert!(update.id > state.id);
    let web = &update.data["pools"][0];
    assert_eq!(web["endpoints"].as_array().unwrap().len(), 1, "{web}");
    let mut fields: Vec<_> = web["endpoints"][0].as_object().unwrap().keys().map(String::as_str).collect();
    fields.retain(|field| !matches!(*field, "sample" | "duration"));
    assert_eq!(fields, ["id", "latency", "requests"], "{web}");
    assert_eq!(web["stats"]["attempts"]["success"], 1);
    assert_eq!((web.get("strategy"), web.get("departed"), web.get("removed")), (None, None, None));
    assert_eq!(update.data["pools"][1]["endpoints"], json!([]));
    // Nothing happens in the next second.
    let update = message(&mut updates).await;
    assert_eq!(update.data["seconds"], 1);
    assert_eq!(update.data["pools"][0].get("stats"), None);
    assert_eq!(update.data.get("listeners"), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_in_flight_is_sent_once_as_a_value_and_each_second_as_a_sample() {
    let setup = Setup::new();
    let mut updates = setup.get("/updates").await.into_body();
    message(&mut updates).await;
    let lease = setup.web.pick(&PickRequest::new()).unwrap();
    let update = message(&mut updates).await;
    assert_eq!(row(&update.data["pools"][0], "a").unwrap()["in_flight"], 1);
    for _ in 0..3 {
        let update = message(&mut updates).await;
        let row = row(&update.data["pools"][0], "a");
        assert!(row.is_none_or(|row| row.get("in_flight").is_none()), "{row:?}");
    }
    drop(lease);
    let update = message(&mut updates).await;
    assert_eq!(row(&update.data["pools"][0], "a").unwrap()["in_flight"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_the_changes_of_several_seconds_at_once() {
    let setup = Setup::new();
    // Until the first states, which the new pools cause, were made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut slow, mut fast) = (setup.get("/updates").await.into_body(), setup.get("/updates").await.into_body());
    message(&mut slow).await;
    message(&mut fast).await;
    let mut last = Value::Null;
    for second in 0..7 {
        if second % 2 == 0 {
            serve(&setup.web);
        }
        last = message(&mut fast).await.data;
    }
    let update = message(&mut slow).await;
    assert_eq!((&update.data["tick"], update.event.as_str()), (&last["tick"], "update"));
    assert!(update.data["seconds"].as_u64().unwrap() >= 6, "{}", update.data["seconds"]);
    let total = |id| row(&update.data["pools"][0], id).unwrap()["requests"]["total"].as_u64().unwrap();
    assert_eq!((total("a"), total("b")), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_missed_too_much_gets_the_whole_state() {
    let setup = Setup::new();
    let mut updates = setup.get("/updates").await.into_body();
    message(&mut updates).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    let state = message(&mut updates).await;
    assert_eq!((state.event.as_str(), &state.data["version"]), ("state", &json!(1)));
    assert_eq!(message(&mut updates).await.event, "update");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_join_and_leave_are_told() {
    let setup = Setup::new();
    let mut updates = setup.get("/updates").await.into_body();
    message(&mut updates).await;
    setup.web.add(EndpointSpec::new("n").weight(7), ()).unwrap();
    setup.web.remove("a").unwrap();
    let update = message(&mut updates).await.data;
    let web = &update["pools"][0];
    assert_eq!(web["removed"], json!(["a"]));
    let added = row(web, "n").unwrap();
    assert_eq!((&added["weight"], &added["address"], &added["zone"]), (&json!(7), &json!("n"), &json!(null)));
    assert!(row(web, "a").is_none());
    // An endpoint of the same name that comes back is another one.
    setup.web.remove("n").unwrap();
    setup.web.add(EndpointSpec::new("n"), ()).unwrap();
    let update = message(&mut updates).await.data;
    let web = &update["pools"][0];
    assert_eq!(web["removed"], json!(["n"]));
    assert_eq!((&row(web, "n").unwrap()["weight"], &row(web, "n").unwrap()["address"]), (&json!(1), &json!("n")));
}

#[tokio::test(start_paused = true)]
async fn each_event_is_sent_once() {
    let setup = Setup::new();
    // Until the first states, which the new pools cause, were made.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await.into_body();
    let state = message(&mut updates).await.data;
    let kinds: Vec<_> = state["events"].as_array().unwrap().iter().map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("pool_added"); 2]);
    let mut events = Vec::new();
    for weight in 2..6 {
        setup.web.set_weight("a", weight).unwrap();
        let update = message(&mut updates).await.data;
        let new = update["events"].as_array().into_iter().flatten();
        events.extend(new.filter(|event| event["kind"] == "weight_changed").map(|event| event["to"].clone()));
    }
    for _ in 0..2 {
        assert_eq!(message(&mut updates).await.data.get("events"), None);
    }
    assert_eq!(events, [2, 3, 4, 5]);
    let state = setup.json("/status.json").await;
    let last = state["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["kind"], &last["pool"], &last["endpoint"]),
        (&json!("weight_changed"), &json!("web"), &json!("a"))
    );
}

#[tokio::test(start_paused = true)]
async fn pools_that_come_and_go_make_a_new_state() {
    let setup = Setup::new();
    let mut updates = setup.get("/updates").await.into_body();
    message(&mut updates).await;
    setup.monitor.add_pool(WatchedPool::new("new", &Pool::<()>::default()));
    let state = message(&mut updates).await;
    assert_eq!((state.event.as_str(), state.data["pools"].as_array().unwrap().len()), ("state", 3));
    setup.monitor.remove_pool("web");
    let state = message(&mut updates).await;
    assert_eq!((state.event.as_str(), &state.data["pools"][0]["name"]), ("state", &json!("plain")));
    assert_eq!(message(&mut updates).await.event, "update");
}

#[tokio::test(start_paused = true)]
async fn what_updates_tell_is_what_the_state_says() {
    let setup = Setup::new();
    let mut updates = setup.get("/updates").await.into_body();
    let mut state = message(&mut updates).await.data;
    let changes: [&dyn Fn(); 6] = [
        &|| serve(&setup.web),
        &|| assert!(setup.plain.set_availability("c", Availability::Maintenance).unwrap()),
        &|| drop(setup.web.set_weight("a", 3).unwrap()),
        &|| assert!(setup.web.set_max_in_flight("b", Some(2)).unwrap()),
        &|| drop(setup.web.remove("a").unwrap()),
        &|| drop(setup.web.add(EndpointSpec::new("z").zone("north"), ()).unwrap()),
    ];
    for change in changes {
        change();
        let update = message(&mut updates).await.data;
        for (old, new) in state["pools"].as_array_mut().unwrap().iter_mut().zip(update["pools"].as_array().unwrap()) {
            apply(old, new);
        }
        let whole = setup.json("/status.json").await;
        for (told, pool) in state["pools"].as_array().unwrap().iter().zip(whole["pools"].as_array().unwrap()) {
            let mut pool = pool.clone();
            pool["endpoints"].as_array_mut().unwrap().iter_mut().for_each(without_samples);
            assert_eq!(sorted(told), sorted(&pool));
        }
    }
}

/// Does what the page in the browser does with an update of a pool.
fn apply(pool: &mut Value, update: &Value) {
    let rows = pool["endpoints"].as_array_mut().expect("a list");
    rows.iter_mut().for_each(without_samples);
    rows.retain(|row| !update["removed"].as_array().is_some_and(|removed| removed.contains(&row["id"])));
    for new in update["endpoints"].as_array().expect("a list") {
        let at = rows.iter().position(|row| row["id"] == new["id"]).unwrap_or_else(|| {
            rows.push(json!({}));
            rows.len() - 1
        });
        rows[at].as_object_mut().expect("a map").extend(new.as_object().expect("a map").clone());
        without_samples(&mut rows[at]);
    }
    for (name, value) in update.as_object().expect("a map") {
        if !matches!(name.as_str(), "endpoints" | "removed" | "sample" | "recent_samples") {
            pool[name] = value.clone();
        }
    }
}

fn without_samples(row: &mut Value) {
    row.as_object_mut().expect("a map").retain(|name, _| !name.contains("sample"));
}

fn sorted(pool: &Value) -> Value {
    let mut pool = pool.clone();
    pool.as_object_mut().expect("a map").remove("samples");
    pool["departed"] = json!(pool["departed"].as_array().expect("a list").len());
    pool["endpoints"].as_array_mut().expect("a list").sort_by_key(|row| row["id"].to_string());
    pool
}

#[tokio::test(start_paused = true)]
async fn all_clients_share_one_update() {
    let setup = Setup::new();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(setup.get("/updates").await.into_body());
    }
    for client in &mut clients {
        message(client).await;
    }
    for _ in 0..3 {
        serve(&setup.web);
        let mut frames = Vec::new();
        for client in &mut clients {
            frames.push(frame(client).await.unwrap());
        }
        assert!(frames.windows(2).all(|two| two[0] == two[1]), "{frames:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_streams_is_limited() {
    let setup = Setup::new();
    let page = setup.page.clone().max_streams(2);
    let open = async || page.clone().oneshot(get("/updates")).await.unwrap();
    let (one, mut two) = (open().await, open().await);
    assert_eq!((one.status(), two.status()), (200.try_into().unwrap(), 200.try_into().unwrap()));
    let refused = open().await;
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    assert!(text(refused).await.contains("too many streams"));
    drop(one);
    let mut three = open().await;
    assert_eq!(three.status(), 200);
    // One reader is stuck, and the other is not.
    for _ in 0..40 {
        message(three.body_mut()).await;
    }
    let four = open().await;
    assert_eq!(four.status(), 200);
    assert_eq!(open().await.status(), 503);
    // The stream that was stuck ends.
    assert_eq!(frame(two.body_mut()).await, None);
    assert_eq!(frame(two.body_mut()).await, None);
    message(three.body_mut()).await;
}

#[tokio::test(start_paused = true)]
async fn hostile_ids_stay_inside_their_message() {
    let setup = Setup::new();
    let hostile = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "a\u{2028}b\u{2029}c",
        "data: x \\n\\n event: state",
    ];
    setup.web.update(hostile.map(|id| EndpointSpec::new("10.0.0.1:80").with_id(id)), |_| ()).unwrap();
    setup.monitor.add_pool(WatchedPool::new("pool\r\n\r\nevent: state\ndata: {}\n\n</script>", &Pool::<()>::default()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await.into_body();
    let first = frame(&mut updates).await.unwrap();
    assert_eq!(first.matches("\n\n").count(), 1);
    assert!(!first.contains(['<', '>', '\r', '\u{2028}', '\u{2029}']), "{first}");
    let data = first.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let state: Value = serde_json::from_str(data).unwrap();
    let mut ids: Vec<_> = state["pools"][0]["endpoints"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    ids.sort_by_key(ToString::to_string);
    let mut all = hostile.map(Value::from);
    all.sort_by_key(ToString::to_string);
    assert_eq!(ids, all.iter().collect::<Vec<_>>());
    assert_eq!(state["pools"][2]["name"], "pool\r\n\r\nevent: state\ndata: {}\n\n</script>");
}

#[tokio::test(start_paused = true)]
async fn a_closed_page_ends_all_streams_and_refuses_new_ones() {
    let setup = Setup::new();
    let mut new = setup.get("/updates").await.into_body();
    let mut waiting = setup.get("/updates").await.into_body();
    message(&mut waiting).await;
    let other = setup.page.clone().max_streams(2).oneshot(get("/updates")).await.expect("no error");
    setup.page.clone().close();
    for body in [&mut new, &mut waiting, &mut other.into_body()] {
        assert_eq!(frame(body).await, None);
    }
    assert_eq!(setup.get("/updates").await.status(), 503);
    assert_eq!(setup.get("/status.json").await.status(), 200);
}
