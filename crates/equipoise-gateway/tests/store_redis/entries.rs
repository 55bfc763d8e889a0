use super::{server::Server, *};

#[tokio::test]
async fn gateways_with_a_prefix_share_what_is_stored() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, two) = (connected(builder(&server.url())).await, connected(builder(&server.url())).await);
    let other = connected(builder(&server.url()).prefix("other:")).await;
    let key = key("https://a/", "");
    assert!(bodies(&one, &key).await.is_empty());
    assert_eq!(put(&one, &key, entry("hello")).await, Stored::Yes);
    assert_eq!(bodies(&two, &key).await, ["hello"]);
    assert!(bodies(&other, &key).await.is_empty());
    let found = two.get(&key, SystemTime::now()).await.entries;
    assert_eq!(found[0].head().headers[header::ETAG], "\"1\"");
    let stats = one.stats();
    assert_eq!((stats.found, stats.not_found, stats.stored, stats.errors), (0, 2, 1, 0));
    assert_eq!((two.stats().found, two.stats().errors), (2, 0));
}

#[tokio::test]
async fn keys_that_differ_in_any_part_are_kept_apart() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let keys = [("https://a/b", ""), ("https://a/", "b"), ("https://a/b", "c"), ("https://a/bc", ""), ("", "x\n*")];
    for (url, extra) in keys {
        assert_eq!(put(&store, &key(url, extra), entry(&format!("{url}|{extra}"))).await, Stored::Yes);
    }
    for (url, extra) in keys {
        assert_eq!(bodies(&store, &key(url, extra)).await, [format!("{url}|{extra}")]);
    }
}

#[tokio::test]
async fn the_newest_variant_is_first_and_the_same_one_is_replaced() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).max_variants(3)).await;
    let key = key("https://a/", "");
    for (language, age) in [("en", 30), ("de", 10), ("fr", 20), ("en", 30)] {
        assert_eq!(put(&store, &key, variant(language, age)).await, Stored::Yes);
    }
    assert_eq!(bodies(&store, &key).await, ["de", "fr", "en"]);
    assert_eq!(put(&store, &key, variant("de", 60)).await, Stored::Superseded);
    assert_eq!(bodies(&store, &key).await, ["de", "fr", "en"]);
    put(&store, &key, variant("it", 15)).await;
    assert_eq!(bodies(&store, &key).await, ["de", "it", "fr"]);
    let fields: Vec<String> = server.ask(&["HKEYS", "equipoise:cache:e:10:https://a/"]);
    assert_eq!(fields.len(), 4, "three variants and their list: {fields:?}");
}

#[tokio::test]
async fn the_variants_of_a_key_are_bounded_by_bytes() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).max_entry_bytes(10_000)).await;
    let key = key("https://a/", "");
    for i in 0..10 {
        let head = variant(&i.to_string(), 20 - i).head().clone();
        let large = Entry::new(head, Body::new([vec![0; 9000].into()]));
        assert_eq!(put(&store, &key, large).await, Stored::Yes);
    }
    assert_eq!(bodies(&store, &key).await.len(), 4);
    assert_eq!(put(&store, &key, entry(&"x".repeat(10_000))).await, Stored::TooLarge);
    assert_eq!(bodies(&store, &key).await.len(), 4);
}

#[tokio::test]
async fn a_body_of_megabytes_comes_back_whole() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).max_entry_bytes(8 << 20)).await;
    let body: String = (0..700_000).map(|i| format!("{i:07}")).collect();
    assert_eq!(put(&store, &key("https://a/", ""), entry(&body)).await, Stored::Yes);
    assert!(bodies(&store, &key("https://a/", "")).await == [body]);
}

#[tokio::test]
async fn entries_expire_in_redis_and_never_stay_for_ever() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url()).max_ttl(Duration::from_secs(1000))).await;
    let ttl = |url: &str| server.ask::<i64>(&["TTL", &format!("equipoise:cache:e:{}:{url}", url.len())]);
    for (url, expires, range) in [("a", Some(100), 90..=100), ("b", Some(5000), 990..=1000), ("c", None, 990..=1000)] {
        let mut head = head();
        head.expires = expires.map(|seconds| SystemTime::now() + Duration::from_secs(seconds));
        assert_eq!(put(&store, &key(url, ""), Entry::new(head, Body::default())).await, Stored::Yes);
        assert!(range.contains(&ttl(url)), "{url}: {}", ttl(url));
    }
    // A variant that expires earlier does not shorten the others' time, but is not found any more.
    let mut head = variant("de", 0).head().clone();
    head.expires = Some(SystemTime::now() + Duration::from_secs(50));
    put(&store, &key("a", ""), Entry::new(head, Body::default())).await;
    assert!(ttl("a") > 60);
    let later = SystemTime::now() + Duration::from_secs(60);
    assert_eq!(store.get(&key("a", ""), SystemTime::now()).await.entries.len(), 2);
    assert_eq!(store.get(&key("a", ""), later).await.entries.len(), 1);
    // What has expired already is not stored.
    let mut head = super::head();
    head.expires = Some(SystemTime::now() - Duration::from_secs(1));
    put(&store, &key("d", ""), Entry::new(head, Body::default())).await;
    assert_eq!(ttl("d"), -2);
}

#[tokio::test]
async fn foreign_data_is_a_miss_and_is_replaced() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let (key, name) = (key("a", ""), "equipoise:cache:e:1:a");
    let digest = "00000000000000000000000000000001";
    let far = "9999999999999999";
    for junk in [
        vec!["SET", name, "text"],
        vec!["LPUSH", name, "text"],
        vec!["HSET", name, "m", "\n\n x y z \u{fffd}", "v", ""],
        vec!["HSET", name, "m", &format!("{digest} {far} 1 0 1"), &format!("v{digest}"), "x"],
        vec!["HSET", name, "m", &format!("{digest} 1 1 0 1 {}", "t1 ".repeat(20_000)), "v1", "x"],
        vec!["HSET", name, "v1", "x"],
    ] {
        let _: redis::Value = server.ask(&["DEL", name]);
        let _: redis::Value = server.ask(&junk);
        assert!(bodies(&store, &key).await.is_empty(), "{:?}", &junk[..2]);
        assert_eq!(put_blindly(&store, &key).await, Stored::Yes, "{:?}", &junk[..2]);
        assert_eq!(bodies(&store, &key).await, ["new"], "{:?}", &junk[..2]);
    }
    // A damaged entry, in the place of a good one.
    let fields: Vec<String> = server.ask(&["HKEYS", name]);
    let field = fields.iter().find(|field| field.starts_with('v') && field.len() > 2).unwrap();
    let _: redis::Value = server.ask(&["HSET", name, field, "\u{1}damaged"]);
    let invalid = store.connection_stats().invalid;
    assert!(bodies(&store, &key).await.is_empty());
    assert_eq!(store.connection_stats().invalid, invalid + 1);
}

/// Stores an entry with a generation from another key, because lookups of this one fail.
async fn put_blindly(store: &RedisStore, key: &Key) -> Stored {
    let generation = generation(store, &super::key("another", "")).await;
    store.put(key, entry("new"), generation).await
}

#[tokio::test]
async fn remembered_lookups_ask_no_server_until_this_gateway_changes_them() {
    let Some(server) = Server::start(&[]).await else { return };
    let local = builder(&server.url()).local(1 << 20, Duration::from_secs(1000));
    let (one, other) = (connected(local).await, connected(builder(&server.url())).await);
    let key = key("a", "");
    put(&one, &key, entry("1")).await;
    assert_eq!(bodies(&one, &key).await, ["1"]);
    assert!(one.get(&key, SystemTime::now()).into_ready().is_ok());
    put(&other, &key, entry("2")).await;
    assert_eq!(bodies(&one, &key).await, ["1"], "remembered");
    assert_eq!(one.connection_stats().local_hits, 2);
    put(&one, &key, entry("3")).await;
    assert_eq!(bodies(&one, &key).await, ["3"]);
    one.remove(&key).await.unwrap();
    assert!(bodies(&one, &key).await.is_empty());
    put(&one, &key, entry("4")).await;
    assert_eq!(bodies(&one, &key).await, ["4"]);
    one.purge(&equipoise_gateway::cache::store::Purge::All).await.unwrap();
    assert!(bodies(&one, &key).await.is_empty());
}
