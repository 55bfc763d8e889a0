use equipoise_gateway::cache::store::Purge;

use super::{server::Server, *};

fn tag(tag: &str) -> Purge {
    Purge::Tag(Tag::new(tag).unwrap())
}

#[tokio::test]
async fn a_purged_tag_is_gone_in_all_gateways() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, two) = (connected(builder(&server.url())).await, connected(builder(&server.url())).await);
    put(&one, &key("a", ""), tagged("1", &["red", "green"])).await;
    put(&one, &key("b", ""), tagged("1", &["green"])).await;
    two.purge(&tag("red")).await.unwrap();
    assert!(bodies(&one, &key("a", "")).await.is_empty());
    assert_eq!(bodies(&one, &key("b", "")).await, ["1"]);
    assert_eq!(server.ask::<i64>(&["EXISTS", "equipoise:cache:e:1:a"]), 0, "a lookup frees what no longer counts");
    put(&one, &key("a", ""), tagged("2", &["red"])).await;
    assert_eq!(bodies(&two, &key("a", "")).await, ["2"]);
}

#[tokio::test]
async fn a_purged_tag_takes_only_the_variants_that_have_it() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    for (language, name) in [("en", "red"), ("de", "green")] {
        let entry = variant(language, 0);
        let mut head = entry.head().clone();
        head.tags = vec![Tag::new(name).unwrap()];
        put(&store, &key("a", ""), entry.with_head(head)).await;
    }
    store.purge(&tag("red")).await.unwrap();
    assert_eq!(bodies(&store, &key("a", "")).await, ["de"]);
}

#[tokio::test]
async fn a_purged_url_is_gone_with_all_extra_parts() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let all = [key("a", ""), key("a", "x"), key("a", "y"), key("b", ""), key("b", "x")];
    for key in &all {
        put(&store, key, entry("1")).await;
    }
    assert_eq!(store.purge(&Purge::Url("a".into())).await.unwrap(), 1);
    let mut left = Vec::new();
    for key in &all {
        left.push(bodies(&store, key).await.len());
    }
    assert_eq!(left, [0, 0, 0, 1, 1]);
}

#[tokio::test]
async fn a_removed_key_is_gone_and_others_stay() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    put(&store, &key("a", "x"), variant("en", 0)).await;
    put(&store, &key("a", "x"), variant("de", 0)).await;
    put(&store, &key("a", ""), entry("1")).await;
    assert_eq!(store.remove(&key("a", "x")).await.unwrap(), 2);
    assert_eq!(store.remove(&key("a", "x")).await.unwrap(), 0);
    assert!(bodies(&store, &key("a", "x")).await.is_empty());
    assert_eq!(bodies(&store, &key("a", "")).await, ["1"]);
}

#[tokio::test]
async fn a_purged_prefix_takes_only_urls_that_begin_with_it() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    for i in 0..2500 {
        put(&store, &key(&format!("http://a/*/{i}"), if i % 2 == 0 { "x" } else { "" }), entry("1")).await;
    }
    // The prefix in another place, and what would match it as a pattern.
    let others = [key("http://b/", ":http://a/*/1"), key("http://a/x/1", ""), key("http://b/:http://a/*/", "")];
    for key in &others {
        put(&store, key, entry("1")).await;
    }
    assert_eq!(store.purge(&Purge::Prefix("http://a/*/".into())).await.unwrap(), 2500);
    for key in &others {
        assert_eq!(bodies(&store, key).await, ["1"], "{key:?}");
    }
}

#[tokio::test]
async fn a_purge_of_all_leaves_nothing_and_no_table_that_grows() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    for i in 0..50 {
        put(&store, &key(&i.to_string(), ""), tagged("1", &["red"])).await;
        store.purge(&tag(&format!("tag-{i}"))).await.unwrap();
    }
    assert!(server.ask::<i64>(&["HLEN", "equipoise:cache:table"]) > 40);
    store.purge(&Purge::All).await.unwrap();
    assert_eq!(server.ask::<i64>(&["HLEN", "equipoise:cache:table"]), 2);
    for i in 0..50 {
        assert!(bodies(&store, &key(&i.to_string(), "")).await.is_empty());
    }
    put(&store, &key("1", ""), entry("2")).await;
    assert_eq!(bodies(&store, &key("1", "")).await, ["2"]);
}

#[tokio::test]
async fn what_was_requested_before_a_purge_is_not_stored_after_it() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, two) = (connected(builder(&server.url())).await, connected(builder(&server.url())).await);
    let key = key("a", "x");
    for purge in [Purge::Url("a".into()), Purge::Prefix("b".into()), tag("red"), Purge::All] {
        let before = generation(&one, &key).await;
        two.purge(&purge).await.unwrap();
        assert_eq!(one.put(&key, tagged("1", &["red"]), before).await, Stored::Purged, "{purge:?}");
        assert_eq!(put(&one, &key, tagged("1", &["red"])).await, Stored::Yes, "{purge:?}");
    }
    let before = generation(&one, &key).await;
    two.remove(&key).await.unwrap();
    assert_eq!(one.put(&key, entry("1"), before).await, Stored::Purged);
    let before = generation(&one, &key).await;
    two.purge(&tag("blue")).await.unwrap();
    assert_eq!(one.put(&key, tagged("1", &["red"]), before).await, Stored::Yes, "another tag");
    assert_eq!(one.stats().refused_purged, 5);
}

#[tokio::test]
async fn what_was_stored_before_the_table_was_lost_no_longer_counts() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let before = generation(&store, &key("a", "")).await;
    put(&store, &key("a", ""), entry("1")).await;
    assert_eq!(server.ask::<i64>(&["DEL", "equipoise:cache:table"]), 1);
    assert!(bodies(&store, &key("a", "")).await.is_empty());
    assert_eq!(store.put(&key("a", ""), entry("2"), before).await, Stored::Purged);
    assert_eq!(put(&store, &key("a", ""), entry("2")).await, Stored::Yes);
    assert_eq!(bodies(&store, &key("a", "")).await, ["2"]);
}
