//! A store that is too small for all responses, with requests whose popularity is that of Zipf.

use std::collections::{BTreeMap, HashMap};

use equipoise::gateway::{cache::CacheLayer, stack::Functions};
use equipoise_tests::{Backend, Seen};
use http::Request;

use crate::setup::{Gateway, answer};

const KEYS: usize = 10_000;
/// Few, because each of them passes two connections.
const REQUESTS: usize = 4_000;
const STORE: u64 = 1 << 20;
const BODY: usize = 1000;

/// Numbers below [`KEYS`], the number `i` with a probability in proportion to `1 / (i + 1)`.
struct Zipf {
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(seed: u64) -> Self {
        let sums = (1..=KEYS).scan(0.0, |sum, number| {
            *sum += 1.0 / number as f64;
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
        let point = (bits >> 11) as f64 / (1_u64 << 53) as f64 * self.sums[KEYS - 1];
        self.sums.partition_point(|sum| *sum <= point).min(KEYS - 1)
    }
}

/// Returns how often an LRU of this number of keys has the key that is asked for.
fn lru_hits(keys: &[usize], capacity: usize) -> usize {
    let (mut used, mut order, mut hits) = (HashMap::new(), BTreeMap::new(), 0);
    for (time, &key) in keys.iter().enumerate() {
        if let Some(old) = used.insert(key, time) {
            order.remove(&old);
            hits += 1;
        }
        order.insert(time, key);
        if used.len() > capacity
            && let Some((_, oldest)) = order.pop_first()
        {
            used.remove(&oldest);
        }
    }
    hits
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hit_ratio_is_that_of_an_ideal_lru_or_better_within_the_bound_of_memory() {
    let backend = Backend::answering(|seen: &Seen| {
        let body = format!("{:<BODY$}", seen.uri.path());
        answer(200, &[("cache-control", "max-age=3600")], body)
    })
    .expect("a free port");
    let cache = CacheLayer::builder(STORE).max_entry_bytes(64 << 10).build().expect("a cache");
    let gateway = Gateway::start(Functions::new().cache(cache.clone()), backend.address()).await;
    let mut connection = gateway.connect().await;
    let mut zipf = Zipf::new(17);
    let keys: Vec<_> = (0..REQUESTS).map(|_| zipf.draw()).collect();
    let (mut most, mut weight) = (0, 0);
    for (number, key) in keys.iter().enumerate() {
        let path = format!("/{key}");
        let reply = connection.send(Request::get(&*path), "").await;
        assert!(reply.text().trim_end() == path && reply.body.len() == BODY, "{reply:?}");
        if number % 100 == 0 {
            let store = cache.stats().store;
            most = most.max(store.bytes);
            weight = store.bytes.checked_div(store.keys).unwrap_or(0).max(weight);
        }
    }
    let stats = cache.stats();
    assert!(stats.store.evicted > 0 && most > STORE * 9 / 10, "the store was full: {stats:?}");
    assert!(most <= STORE, "{most} bytes");
    assert_eq!(stats.hits as usize + backend.served(), REQUESTS);
    let capacity = (STORE / weight) as usize;
    let (ratio, ideal) = (stats.hits as f64 / REQUESTS as f64, lru_hits(&keys, capacity) as f64 / REQUESTS as f64);
    println!("{weight} bytes for each, {capacity} keys: {ratio:.4}, LRU {ideal:.4}");
    assert!(ratio >= ideal - 0.02, "{ratio:.4}, LRU {ideal:.4}");
}
