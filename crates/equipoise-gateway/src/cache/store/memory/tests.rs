use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::Ordering::SeqCst,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::*;
use crate::cache::store::{Body, Head};

fn key(url: &str) -> Key {
    Key::new(url, b"").expect("a key")
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
fn an_older_response_does_not_replace_a_newer_one() {
    let store = MemoryStore::new(1 << 20);
    assert_eq!(put(&store, &key("a"), variant("en", 2)), Stored::Yes);
    assert_eq!(put(&store, &key("a"), variant("en", 1)), Stored::Superseded);
    assert_eq!(put(&store, &key("a"), variant("de", 1)), Stored::Yes);
    let times: Vec<_> = store.lookup(&key("a"), now()).entries.iter().map(|entry| entry.head().response_time).collect();
    assert_eq!(times, [at(2), at(1)]);
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
    // Keys may share a place in the table with the purged labels, but not half of them.
    let generation = store.lookup(&key("a"), now()).generation;
    store.remove_all(&Purge::Url("other".into()));
    store.remove_all(&Purge::Tag(Tag::new("other").expect("a tag")));
    let stored = (0..100).filter(|i| store.store(&key(&i.to_string()), entry(b"1"), generation) == Stored::Yes);
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

#[test]
fn threads_that_store_and_purge_leave_the_index_as_it_should_be() {
    let store = MemoryStore::builder(150_000).max_entry_bytes(20_000).build().expect("a store");
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..3_000_u64 {
                    let n = (i * 7919 + thread * 31) % 97;
                    let key = key_with(&format!("url-{}", n / 4), if n % 2 == 0 { "x" } else { "" });
                    let tags = [&*format!("tag-{}", (n + i) % 5), &*format!("other-{}", i % 3)];
                    match i % 50 {
                        0 => drop(store.remove_all(&Purge::Tag(Tag::new(tags[0]).expect("a tag")))),
                        1 => drop(store.remove_all(&Purge::Url(key.url().into()))),
                        2 => drop(store.remove_key(&key)),
                        _ => drop(put(store, &key, tagged(&vec![0; 100 * n as usize], &tags))),
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(stats.evicted > 0 && stats.purged > 0 && stats.keys > 10, "{stats:?}");
    let labels: usize = store.cache.iter().map(|(key, _)| if key.extra().is_empty() { 2 } else { 3 }).sum();
    assert_eq!(store.index.len(), labels);
    store.remove_all(&Purge::All);
    assert_eq!((store.index.len(), store.stats().bytes), (0, 0));
}

#[test]
fn no_fetch_in_progress_brings_back_what_was_purged() {
    let store = MemoryStore::new(1 << 20);
    let current = AtomicU64::new(0);
    let mut brought_back = Vec::new();
    let purges = [Purge::Url("a".into()), Purge::Tag(Tag::new("red").expect("a tag")), Purge::All];
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while current.load(SeqCst) < 3_000 {
                    let generation = store.lookup(&key("a"), now()).generation;
                    let fetched = current.load(SeqCst);
                    store.store(&key("a"), tagged(fetched.to_string().as_bytes(), &["red"]), generation);
                }
            });
        }
        for version in 1..=3_000 {
            current.store(version, SeqCst);
            match version % 4 {
                3 => drop(store.remove_key(&key("a"))),
                i => drop(store.remove_all(&purges[i as usize])),
            }
            for _ in 0..10 {
                let old = |found: &String| found.parse::<u64>().expect("a version") < version;
                brought_back.extend(bodies(&store, &key("a")).into_iter().filter(old));
            }
        }
    });
    assert!(brought_back.is_empty(), "{brought_back:?}");
}

/// Draws numbers below `n`, the number `i` with a probability in proportion to `1 / (i + 1)`.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(n: usize, seed: u64) -> Self {
        let sums = (1..=n).scan(0.0, |sum, i| {
            *sum += 1.0 / i as f64;
            Some(*sum)
        });
        Self { sums: sums.collect(), state: seed }
    }

    fn draw(&mut self) -> usize {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let point = (bits >> 11) as f64 / (1_u64 << 53) as f64 * self.sums[self.sums.len() - 1];
        self.sums.partition_point(|sum| *sum <= point).min(self.sums.len() - 1)
    }
}

/// An exact LRU, bounded by bytes.
#[derive(Default)]
struct Lru {
    used: HashMap<usize, (u64, usize)>,
    order: BTreeMap<u64, usize>,
    bytes: usize,
    time: u64,
}

impl Lru {
    /// Looks up a key and stores it if it is not there. Returns whether it was there.
    fn access(&mut self, key: usize, size: usize, max_bytes: usize) -> bool {
        self.time += 1;
        let old = self.used.insert(key, (self.time, size));
        if let Some((time, _)) = old {
            self.order.remove(&time);
        } else {
            self.bytes += size;
        }
        self.order.insert(self.time, key);
        while self.bytes > max_bytes {
            let (_, oldest) = self.order.pop_first().expect("a key");
            self.bytes -= self.used.remove(&oldest).expect("its size").1;
        }
        old.is_some()
    }
}

/// Returns the hit ratios of the store and of an LRU of the same size, after a warm-up, with the seed 17.
fn hit_ratios(percent: usize, size: impl Fn(usize) -> usize) -> (f64, f64) {
    const KEYS: usize = 10_000;
    const ACCESSES: usize = 100_000;
    let keys: Vec<Key> = (0..KEYS).map(|i| key(&format!("https://example.com/{i}"))).collect();
    let entries: Vec<Entry> = (0..KEYS).map(|i| entry(&vec![0; size(i)])).collect();
    let sizes: Vec<usize> = (0..KEYS).map(|i| weight(&keys[i], std::slice::from_ref(&entries[i]))).collect();
    let max_bytes = sizes.iter().sum::<usize>() * percent / 100;
    let (store, mut lru, mut zipf) = (MemoryStore::new(max_bytes as u64), Lru::default(), Zipf::new(KEYS, 17));
    let (mut hits, mut lru_hits) = (0_u32, 0_u32);
    for i in 0..2 * ACCESSES {
        let at = zipf.draw();
        let found = store.lookup(&keys[at], now());
        if found.entries.is_empty() {
            store.store(&keys[at], entries[at].clone(), found.generation);
        }
        let lru_found = lru.access(at, sizes[at], max_bytes);
        if i >= ACCESSES {
            hits += u32::from(!found.entries.is_empty());
            lru_hits += u32::from(lru_found);
        }
    }
    assert!(store.stats().bytes <= max_bytes as u64 + 32);
    (f64::from(hits) / ACCESSES as f64, f64::from(lru_hits) / ACCESSES as f64)
}

#[test]
fn the_hit_ratio_is_that_of_an_lru_or_better() {
    for percent in [1, 10, 50] {
        for (name, size) in [("equal", (|_| 500) as fn(usize) -> usize), ("different", |i| 100 + i * 7919 % 5000)] {
            let (store, lru) = hit_ratios(percent, size);
            println!("{percent} % of all bytes, {name} sizes: {store:.4}, LRU {lru:.4}");
            assert!(store >= lru - 0.02, "{percent} % of all bytes, {name} sizes: {store:.4}, LRU {lru:.4}");
        }
    }
}
