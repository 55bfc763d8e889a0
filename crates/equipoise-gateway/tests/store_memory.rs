//! The memory that the store of the cache really uses. This is a program of its own, because it measures the process.

#![cfg(all(feature = "cache", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

use std::{fs, time::SystemTime};

use equipoise_gateway::cache::store::{Body, Entry, Head, Key, MemoryStore, Store, StoreFuture, Tag};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Returns the resident memory of the process in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

fn ready<T>(future: StoreFuture<'_, T>) -> T {
    future.into_ready().unwrap()
}

/// Stores responses of the given sizes, three times as many as fit. Returns how much larger than `before` the process
/// is, as a multiple of the bound.
fn fill(before: u64, max_bytes: u64, tags: usize, size: impl Fn(u64) -> u64) -> f64 {
    let store = MemoryStore::new(max_bytes);
    let (now, mut i, mut put) = (SystemTime::now(), 0, 0);
    while put < 3 * max_bytes {
        i += 1;
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
            (header::ETAG, format!("\"{i:016x}\"")),
            (header::LAST_MODIFIED, "Tue, 01 Dec 2026 16:00:00 GMT".to_owned()),
            (header::CACHE_CONTROL, "max-age=60".to_owned()),
            (header::DATE, "Tue, 01 Dec 2026 16:00:00 GMT".to_owned()),
        ] {
            headers.insert(name, HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).unwrap());
        }
        let mut head = Head::new(StatusCode::OK, headers, now, now);
        head.tags =
            (0..tags).map(|tag| Tag::new(&format!("tag-{tag}-{}", i % (tag as u64 * 1000 + 1))).unwrap()).collect();
        let entry = Entry::new(head, Body::new([vec![1; size(i) as usize].into()]));
        put += entry.size() as u64;
        let key = Key::new(format!("https://www.example.com/a/path/{i}.html"), b"").unwrap();
        let generation = ready(store.get(&key, now)).generation;
        ready(store.put(&key, entry, generation));
    }
    assert!(ready(store.get(&Key::new("https://x", b"").unwrap(), now)).entries.is_empty());
    let stats = store.stats();
    assert!(stats.evicted > 0 && stats.bytes <= max_bytes && stats.bytes > max_bytes * 8 / 10, "{stats:?}");
    let ratio = resident().saturating_sub(before) as f64 / max_bytes as f64;
    println!("{tags} tags, {} keys of {} bytes: {ratio:.2}", stats.keys, stats.bytes / stats.keys);
    ratio
}

#[test]
fn the_store_takes_no_more_memory_than_its_bound_and_a_third() {
    const MIB: u64 = 1 << 20;
    // Sizes from 0 to 32 KiB, mostly small.
    let mixed = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44).pow(3) / (1 << 45);
    // Freed memory stays with the process, so each store is compared with the beginning.
    let before = resident();
    for ratio in [
        fill(before, 64 * MIB, 0, |_| 20),
        fill(before, 64 * MIB, 3, |_| 100),
        fill(before, 64 * MIB, 0, mixed),
        fill(before, 64 * MIB, 2, mixed),
        fill(before, 64 * MIB, 0, |i| 100_000 + i * 7919 % 300_000),
    ] {
        assert!(ratio < 1.33, "{ratio:.2} times the bound");
    }
}
