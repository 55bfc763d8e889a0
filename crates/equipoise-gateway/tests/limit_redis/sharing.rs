//! Limits that two gateways share.

use equipoise_gateway::limit::{Limit, LimitKey, Quota, RateLimitLayer};

use super::{by_key, connected, layer, passed, redis, response, server::Server, stats, status};

#[tokio::test]
async fn two_gateways_admit_one_quota() {
    let Some(server) = Server::start(&[]).await else { return };
    let quota = || by_key("x", Quota::per_hour(10));
    let one = connected(redis(&server.url()), [quota()]).await;
    let other = connected(redis(&server.url()), [quota()]).await;
    assert_eq!(passed(&one, "a", 7).await, 7);
    assert_eq!(passed(&other, "a", 7).await, 3);
    assert_eq!(passed(&one, "a", 1).await, 0);
    assert_eq!(passed(&one, "b", 11).await, 10);
    assert_eq!((stats(&one).decisions, stats(&one).fallbacks), (19, 0));
    assert_eq!(one.stats()[0].denied, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_at_two_gateways_pass_exactly_up_to_the_quota() {
    let Some(server) = Server::start(&[]).await else { return };
    let limits = || [by_key("narrow", Quota::per_day(100)), by_key("wide", Quota::per_day(150))];
    let gateways = [connected(redis(&server.url()), limits()).await, connected(redis(&server.url()), limits()).await];
    let requests: Vec<_> = (0..400)
        .map(|at| {
            let gateway: RateLimitLayer = gateways[at % 2].clone();
            tokio::spawn(async move { status(&gateway, "a").await })
        })
        .collect();
    let mut admitted = 0;
    for request in requests {
        admitted += usize::from(request.await.unwrap() == 200);
    }
    assert_eq!(admitted, 100);
    // The requests that were denied have not counted for the wide limit.
    let left = response(&gateways[0], "a").await.headers()["ratelimit"].to_str().unwrap().to_owned();
    assert!(left.contains("\"wide\";r=50;"), "{left}");
}

#[tokio::test]
async fn a_request_takes_one_round_trip_for_all_its_limits() {
    let Some(server) = Server::start(&[]).await else { return };
    let limits = ["a", "b", "c"].map(|name| by_key(name, Quota::per_hour(1_000)));
    let layer = connected(redis(&server.url()), limits).await;
    let loaded = server.calls("eval");
    assert_eq!(passed(&layer, "k", 20).await, 20);
    assert_eq!((server.calls("evalsha"), server.calls("eval")), (20, loaded));
}

#[tokio::test]
async fn a_flushed_script_is_loaded_again() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()), [by_key("x", Quota::per_hour(3))]).await;
    assert_eq!(passed(&layer, "k", 2).await, 2);
    let _: () = server.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(passed(&layer, "k", 2).await, 1);
    let stats = stats(&layer);
    assert_eq!((stats.script_reloads, stats.fallbacks, stats.connected), (1, 0, true));
}

#[tokio::test]
async fn responses_show_what_is_left_and_when_to_retry() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()), [by_key("x", Quota::per_hour(3))]).await;
    for left in ["r=2;t=1200", "r=1;t=2400", "r=0;t=1200"] {
        let response = response(&layer, "k").await;
        assert_eq!(response.headers()["ratelimit"], format!("\"x\";{left}"));
    }
    let denied = response(&layer, "k").await;
    assert_eq!(denied.status(), 429);
    assert_eq!(denied.headers()["ratelimit-policy"], "\"x\";q=3;w=3600");
    // Less than a minute has passed.
    let after: u64 = denied.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1_140..=1_200).contains(&after), "{after}");
}

#[tokio::test]
async fn keys_expire_when_their_bucket_is_full_and_do_not_show_the_key() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()).prefix("{shop}:"), [by_key("x", Quota::per_minute(6))]).await;
    assert_eq!(status(&layer, "secret-api-key").await, 200);
    let names: Vec<String> = server.ask(&["KEYS", "{shop}:x:*"]);
    assert_eq!(names.len(), 1);
    assert!(!names[0].contains("secret"), "{names:?}");
    let left: i64 = server.ask(&["PTTL", &names[0]]);
    assert!((1..=10_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_dry_run_and_costs_work_as_they_do_locally() {
    let Some(server) = Server::start(&[]).await else { return };
    let dry = by_key("dry", Quota::per_hour(1)).dry_run(true);
    let costly = by_key("costly", Quota::per_hour(4)).cost(|head| match head.headers.get("x-key") {
        Some(key) if key == "huge" => 5,
        Some(key) if key == "free" => 0,
        _ => 2,
    });
    let layer = connected(redis(&server.url()), [dry, costly]).await;
    assert_eq!(passed(&layer, "two", 3).await, 2);
    assert_eq!(passed(&layer, "free", 9).await, 9);
    let huge = response(&layer, "huge").await;
    assert_eq!((huge.status().as_u16(), huge.headers().contains_key("retry-after")), (429, false));
    let stats = layer.stats();
    assert_eq!((stats[0].denied, stats[0].dry_run_denied > 0, stats[1].denied), (0, true, 2));
}

#[tokio::test]
async fn foreign_values_under_a_key_count_as_a_full_bucket() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()), [by_key("x", Quota::per_hour(1))]).await;
    assert_eq!(status(&layer, "k").await, 200);
    let name = server.ask::<Vec<String>>(&["KEYS", "equipoise:limit:x:*"]).remove(0);
    for value in ["", "text", "nan", "-1e300", "-inf"] {
        let _: () = server.ask(&["SET", &name, value]);
        assert_eq!(passed(&layer, "k", 2).await, 1, "{value:?}");
    }
    let _: () = server.ask(&["DEL", &name]);
    let _: u64 = server.ask(&["LPUSH", &name, "list"]);
    assert_eq!(passed(&layer, "k", 2).await, 1);
    // A time far in the future, as after the server's clock was set back: as long as an empty bucket, not for ever.
    for value in ["1e300", "inf"] {
        let _: () = server.ask(&["SET", &name, value]);
        let denied = response(&layer, "k").await;
        assert_eq!((denied.status().as_u16(), &denied.headers()["retry-after"]), (429, &"3600".parse().unwrap()));
    }
    assert_eq!((stats(&layer).errors, stats(&layer).connected), (0, true));
}

#[tokio::test]
async fn requests_without_a_key_share_one_bucket_in_redis_too() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()), [by_key("x", Quota::per_hour(2))]).await;
    // An empty value counts as no key.
    assert_eq!(passed(&layer, "", 3).await, 2);
    assert_eq!(server.ask::<u64>(&["EXISTS", "equipoise:limit:x:-"]), 1);
}

#[tokio::test]
async fn a_layer_that_is_dropped_closes_its_connection() {
    let Some(server) = Server::start(&[]).await else { return };
    let layer = connected(redis(&server.url()), [by_key("x", Quota::per_hour(2))]).await;
    let connections = || server.ask::<String>(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count();
    assert_eq!(connections(), 2);
    drop(layer);
    super::eventually("closed", || connections() == 1).await;
}

#[tokio::test]
async fn invalid_settings_are_refused() {
    let global = |quota| Limit::new("x", LimitKey::global(), quota);
    let build = |redis, quota| RateLimitLayer::builder().limit(global(quota)).redis(redis).build();
    let error = build(redis("http://h"), Quota::per_second(1)).unwrap_err().to_string();
    assert!(error.contains("use redis[s]://"), "{error}");
    let secret = build(redis("redis://u:hunter2@h:port"), Quota::per_second(1)).unwrap_err().to_string();
    assert!(!secret.contains("hunter2"), "{secret}");
    assert!(build(redis("redis://h"), Quota::per_second(2_000_000)).is_err());
    assert!(build(redis("redis://h").max_waiting(0), Quota::per_second(1)).is_err());
    assert!(build(redis("redis://h").timeout(std::time::Duration::ZERO), Quota::per_second(1)).is_err());
    // A server that is unavailable is no error.
    let away = layer(redis("redis://127.0.0.1:1"), [global(Quota::per_second(1))]);
    assert!(!stats(&away).connected);
}
