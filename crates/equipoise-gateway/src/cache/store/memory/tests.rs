use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::*;
use crate::cache::store::{Body, Head};

fn key(url: &str) -> Key {
    Key::new(url, &b""[..]).expect("a key")
}

fn key_with(url: &str, extra: &str) -> Key {
    Key::new(url, extra.as_bytes()).expect("a key")
}

fn now() -> SystemTime {
    at(0)
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
}

fn head() -> Head {
    Head::new(StatusCode::OK, HeaderMap::new(), now(), now())
}

fn entry(body: &[u8]) -> Entry {
    Entry::new(head(), Body::new([body.to_vec().into()]))
}

fn tagged(body: &[u8], tags: &[&str]) -> Entry {
    let tags = tags.iter().map(|tag| Tag::new(tag).expect("a tag")).collect();
    Entry::new(Head { tags, ..head() }, Body::new([body.to_vec().into()]))
}

fn variant(language: &str, seconds: u64) -> Entry {
    let vary = vec![(header::ACCEPT_LANGUAGE, vec![HeaderValue::from_str(language).expect("a value")])];
    Entry::new(Head { vary, response_time: at(seconds), ..head() }, Body::new([language.to_owned().into()]))
}

fn put(store: &MemoryStore, key: &Key, entry: Entry) -> Stored {
    let generation = store.lookup(key, now()).generation;
    store.store(key, entry, generation)
}

fn bodies(store: &MemoryStore, key: &Key) -> Vec<String> {
    let lookup = store.lookup(key, now());
    let body = |entry: &Entry| String::from_utf8(entry.body().chunks().concat()).expect("text");
    lookup.entries.iter().map(body).collect()
}

#[test]
fn what_is_stored_is_found_under_its_key_only() {
    let store = MemoryStore::new(1 << 20);
    assert_eq!(put(&store, &key("a"), entry(b"1")), Stored::Yes);
    assert_eq!(put(&store, &key_with("a", "x"), entry(b"2")), Stored::Yes);
    assert_eq!(bodies(&store, &key("a")), ["1"]);
    assert_eq!(bodies(&store, &key_with("a", "x")), ["2"]);
    assert!(bodies(&store, &key_with("a", "y")).is_empty());
    assert!(bodies(&store, &key("b")).is_empty());
}

#[test]
fn a_stored_variant_replaces_the_same_one_and_the_newest_is_first() {
    let store = MemoryStore::new(1 << 20);
    for (language, seconds) in [("en", 1), ("de", 3), ("fr", 2), ("en", 1)] {
        assert_eq!(put(&store, &key("a"), variant(language, seconds)), Stored::Yes);
    }
    assert_eq!(bodies(&store, &key("a")), ["de", "fr", "en"]);
    assert_eq!(store.stats().keys, 1);
}

#[test]
fn the_oldest_variants_are_dropped_beyond_the_maximum_but_never_the_new_one() {
    let store = MemoryStore::builder(1 << 20).max_variants(2).build().expect("a store");
    for (language, seconds) in [("en", 3), ("de", 4), ("fr", 5)] {
        put(&store, &key("a"), variant(language, seconds));
    }
    assert_eq!(bodies(&store, &key("a")), ["fr", "de"]);
    put(&store, &key("a"), variant("it", 1));
    assert_eq!(bodies(&store, &key("a")), ["fr", "it"]);
    assert_eq!(store.stats().variants_dropped, 2);
}

#[test]
fn the_variants_of_a_key_leave_room_for_other_keys() {
    let store = MemoryStore::builder(1 << 20).max_entry_bytes(1 << 19).build().expect("a store");
    for language in ["a", "b", "c"] {
        let vary = vec![(header::ACCEPT_LANGUAGE, vec![HeaderValue::from_static(language)])];
        let large = Entry::new(Head { vary, ..head() }, Body::new([vec![0; 300_000].into()]));
        assert_eq!(put(&store, &key("a"), large), Stored::Yes);
    }
    assert_eq!(store.lookup(&key("a"), now()).entries.len(), 1);
}

#[test]
fn too_large_entries_and_too_many_tags_are_refused() {
    let store = MemoryStore::builder(1 << 20).max_entry_bytes(1000).build().expect("a store");
    assert_eq!(put(&store, &key("a"), entry(&[0; 1000])), Stored::TooLarge);
    assert_eq!(put(&store, &key("a"), entry(&[0; 100])), Stored::Yes);
    let tags: Vec<String> = (0..=Tag::MAX_PER_ENTRY).map(|i| i.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let store = MemoryStore::new(1 << 24);
    assert_eq!(put(&store, &key("a"), tagged(b"", &tags)), Stored::TooLarge);
    assert_eq!(put(&store, &key("a"), tagged(b"", &tags[1..])), Stored::Yes);
    assert_eq!(store.stats().too_large, 1);
}

#[test]
fn a_store_of_no_bytes_keeps_nothing() {
    let store = MemoryStore::new(0);
    assert_eq!(put(&store, &key("a"), entry(b"1")), Stored::TooLarge);
    assert_eq!((store.stats().keys, store.stats().bytes), (0, 0));
}

#[test]
fn expired_entries_are_dropped_when_found() {
    let store = MemoryStore::new(1 << 20);
    for (language, expires) in [("en", Some(at(10))), ("de", None), ("fr", Some(at(20)))] {
        let entry = variant(language, 0);
        let head = Head { expires, ..entry.head().clone() };
        put(&store, &key("a"), entry.with_head(head));
    }
    assert_eq!(store.lookup(&key("a"), at(9)).entries.len(), 3);
    assert_eq!(store.lookup(&key("a"), at(10)).entries.len(), 2);
    assert_eq!(store.stats().expired, 1);
    assert_eq!(store.lookup(&key("a"), at(20)).entries.len(), 1);
    assert_eq!(bodies(&store, &key("a")), ["de"]);
}

#[test]
fn a_key_with_nothing_but_expired_entries_is_removed() {
    let store = MemoryStore::new(1 << 20);
    put(&store, &key("a"), Entry::new(Head { expires: Some(at(1)), ..head() }, Body::default()));
    assert!(store.lookup(&key("a"), at(1)).entries.is_empty());
    assert_eq!((store.stats().keys, store.stats().bytes, store.stats().not_found), (0, 0, 2));
}

#[test]
fn a_url_is_purged_with_all_extra_parts() {
    let store = MemoryStore::new(1 << 20);
    let all = [key("a"), key_with("a", "x"), key_with("a", "y"), key("ab")];
    for key in &all {
        put(&store, key, entry(b"1"));
    }
    assert_eq!(store.remove_all(&Purge::Url("a".into())), 3);
    assert_eq!(all.map(|key| bodies(&store, &key).len()), [0, 0, 0, 1]);
    assert_eq!(store.index.len(), 0);
}

#[test]
fn a_tag_is_purged_from_all_keys_that_have_it() {
    let store = MemoryStore::new(1 << 20);
    put(&store, &key("a"), tagged(b"1", &["red", "green"]));
    put(&store, &key("b"), tagged(b"1", &["red", "red"]));
    put(&store, &key("c"), tagged(b"1", &["green"]));
    let tag = |tag| Purge::Tag(Tag::new(tag).expect("a tag"));
    assert_eq!(store.remove_all(&tag("blue")), 0);
    assert_eq!(store.remove_all(&tag("red")), 2);
    assert_eq!(store.stats().keys, 1);
    assert_eq!(store.index.len(), 1, "only c with green");
    assert_eq!(store.remove_all(&tag("green")), 1);
    assert_eq!((store.index.len(), store.stats().purged), (0, 3));
}

#[test]
fn the_tags_of_a_replaced_variant_no_longer_purge_its_key() {
    let store = MemoryStore::new(1 << 20);
    put(&store, &key("a"), tagged(b"1", &["old", "both"]));
    put(&store, &key("a"), tagged(b"2", &["new", "both"]));
    assert_eq!(store.remove_all(&Purge::Tag(Tag::new("old").expect("a tag"))), 0);
    assert_eq!(store.index.len(), 2);
    assert_eq!(store.remove_all(&Purge::Tag(Tag::new("both").expect("a tag"))), 1);
}

#[test]
fn a_prefix_and_all_are_purged() {
    let store = MemoryStore::new(1 << 20);
    for url in ["http://a/x", "http://a/y", "http://b/x"] {
        put(&store, &key(url), entry(b"1"));
    }
    assert_eq!(store.remove_all(&Purge::Prefix("http://a/".into())), 2);
    assert_eq!(bodies(&store, &key("http://b/x")), ["1"]);
    assert_eq!(store.remove_all(&Purge::All), 1);
    assert_eq!((store.stats().keys, store.stats().bytes), (0, 0));
}

#[test]
fn what_was_requested_before_a_purge_is_not_stored_after_it() {
    let tag = Tag::new("red").expect("a tag");
    let purges = [Purge::Url("a".into()), Purge::Prefix("b".into()), Purge::Tag(tag), Purge::All];
    for purge in purges {
        let store = MemoryStore::new(1 << 20);
        let generation = store.lookup(&key("a"), now()).generation;
        store.remove_all(&purge);
        assert_eq!(store.store(&key("a"), tagged(b"1", &["red"]), generation), Stored::Purged, "{purge:?}");
        assert_eq!(put(&store, &key("a"), tagged(b"1", &["red"])), Stored::Yes, "{purge:?}");
        assert_eq!(store.stats().refused_purged, 1);
    }
}

#[test]
fn what_was_requested_before_the_removal_of_its_key_is_not_stored_after_it() {
    let store = MemoryStore::new(1 << 20);
    let generation = store.lookup(&key("a"), now()).generation;
    assert_eq!(store.remove_key(&key("a")), 0);
    assert_eq!(store.store(&key("a"), entry(b"1"), generation), Stored::Purged);
    assert_eq!(put(&store, &key("a"), entry(b"1")), Stored::Yes);
    assert_eq!(store.remove_key(&key("a")), 1);
}

#[test]
fn a_purge_does_not_refuse_other_urls_and_tags() {
    let store = MemoryStore::new(1 << 20);
    // Some labels may share a place in the table: one of a hundred is not refused for certain.
    let generation = store.lookup(&key("a"), now()).generation;
    store.remove_all(&Purge::Url("other".into()));
    store.remove_all(&Purge::Tag(Tag::new("other").expect("a tag")));
    let stored =
        (0..100).filter(|i| store.store(&key(&i.to_string()), tagged(b"", &["red"]), generation) == Stored::Yes);
    assert!(stored.count() >= 50);
}

#[test]
fn the_index_forgets_evicted_keys() {
    let store = MemoryStore::new(1 << 20);
    for i in 0..10_000 {
        let tags = [&*format!("own-{i}"), "all"];
        put(&store, &key_with(&format!("url-{}", i / 3), &i.to_string()), tagged(&[0; 500], &tags));
    }
    let stats = store.stats();
    assert!(stats.evicted > 8_000 && stats.keys > 100, "{stats:?}");
    assert!(stats.bytes <= stats.max_bytes, "{stats:?}");
    assert_eq!(store.index.len() as u64, stats.keys * 3);
    assert_eq!(store.remove_all(&Purge::Tag(Tag::new("all").expect("a tag"))) as u64, stats.keys);
    assert_eq!((store.index.len(), store.stats().bytes), (0, 0));
}

#[test]
fn a_buffer_that_a_body_shares_is_not_kept() {
    let store = MemoryStore::new(1 << 20);
    let buffer = bytes::Bytes::from(vec![7; 100_000]);
    put(&store, &key("a"), Entry::new(head(), Body::new([buffer.slice(10..20)])));
    assert!(buffer.is_unique());
    assert_eq!(store.lookup(&key("a"), now()).entries[0].body().chunks().concat(), [7; 10]);
}
