use std::{
    collections::{HashMap, hash_map::RandomState},
    fmt,
    hash::BuildHasher,
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::EndpointId;
use parking_lot::Mutex;

/// A request whose trace is an example of a latency. [`Exemplars`] has them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exemplar {
    /// The id of the request's trace, in 32 hexadecimal digits.
    pub trace_id: String,
    /// The time from the pick of the endpoint to the head of the response.
    pub latency: Duration,
    /// When the head of the response was received.
    pub at: SystemTime,
}

/// The newest traced requests of each endpoint, for exemplars in metrics: from a slow bucket of a latency histogram, an
/// exemplar leads to the trace of a slow request.
///
/// [`Trace::exemplars`](super::Trace::exemplars) records each sampled attempt that got a response. For each endpoint, the
/// newest one of each range of latencies is kept: 64 ranges from 1 µs to about an hour, two for each doubling. Shorter and
/// longer latencies are in the first and the last range. An exemplar takes about 100 bytes, so those of one endpoint take
/// at most about 7 KB.
///
/// The number of endpoints is limited. If a new endpoint would exceed the limit, another endpoint is forgotten, which has
/// had no exemplar for long. A record that would have to wait for another thread is left out. Clones share the same
/// exemplars.
#[derive(Clone)]
pub struct Exemplars {
    inner: Arc<Inner>,
}

struct Inner {
    hasher: RandomState,
    max_per_shard: usize,
    shards: [Mutex<Shard>; Exemplars::SHARDS],
}

/// By pool, and then by endpoint.
type Shard = HashMap<Arc<str>, HashMap<EndpointId, OfEndpoint>>;

struct OfEndpoint {
    newest: SystemTime,
    /// By range of latencies.
    exemplars: Vec<(u8, Exemplar)>,
}

impl Exemplars {
    const SHARDS: usize = 16;
    const RANGES: u8 = 64;

    /// Creates an empty store for up to 1 024 endpoints of all pools together.
    pub fn new() -> Self {
        Self::with_max_endpoints(1_024)
    }

    /// Creates an empty store for up to about `max_endpoints` endpoints of all pools together. The number is rounded up
    /// to a multiple of 16. The minimum is 16.
    pub fn with_max_endpoints(max_endpoints: usize) -> Self {
        let max_per_shard = max_endpoints.div_ceil(Self::SHARDS).max(1);
        let inner = Inner { hasher: RandomState::new(), max_per_shard, shards: Default::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Records a request. `trace_id` is the id of its trace, in 32 hexadecimal digits.
    /// [`Trace::exemplars`](super::Trace::exemplars) calls this method; call it yourself if another tracing system makes
    /// the traces.
    pub fn record(&self, pool: &Arc<str>, endpoint: &EndpointId, latency: Duration, trace_id: impl Into<String>) {
        let Some(mut shard) = self.shard(pool, endpoint).try_lock() else { return };
        let at = SystemTime::now();
        let exemplar = Exemplar { trace_id: trace_id.into(), latency, at };
        let is_new = shard.get(pool).is_none_or(|of_pool| !of_pool.contains_key(endpoint));
        if is_new && shard.values().map(HashMap::len).sum::<usize>() >= self.inner.max_per_shard {
            forget_oldest(&mut shard);
        }
        let of_pool = shard.entry(Arc::clone(pool)).or_default();
        let one = of_pool.entry(endpoint.clone()).or_insert_with(|| OfEndpoint { newest: at, exemplars: Vec::new() });
        one.newest = at;
        let range = Self::range(latency);
        match one.exemplars.iter_mut().find(|(of, _)| *of == range) {
            Some((_, old)) => *old = exemplar,
            None => one.exemplars.push((range, exemplar)),
        }
    }

    /// Returns the newest exemplar of an endpoint whose latency is in `latencies`, such as the bounds of a bucket of a
    /// histogram. `None` if there is none.
    pub fn newest(&self, pool: &str, endpoint: &EndpointId, latencies: Range<Duration>) -> Option<Exemplar> {
        let shard = self.shard(pool, endpoint).lock();
        let exemplars = shard.get(pool)?.get(endpoint)?.exemplars.iter().map(|(_, exemplar)| exemplar);
        exemplars.filter(|exemplar| latencies.contains(&exemplar.latency)).max_by_key(|exemplar| exemplar.at).cloned()
    }

    /// Returns all exemplars of an endpoint, in no particular order. Empty if there are none.
    pub fn of_endpoint(&self, pool: &str, endpoint: &EndpointId) -> Vec<Exemplar> {
        let shard = self.shard(pool, endpoint).lock();
        let Some(one) = shard.get(pool).and_then(|of_pool| of_pool.get(endpoint)) else { return Vec::new() };
        one.exemplars.iter().map(|(_, exemplar)| exemplar.clone()).collect()
    }

    fn shard(&self, pool: &str, endpoint: &EndpointId) -> &Mutex<Shard> {
        let [first, ..] = &self.inner.shards;
        let at = self.inner.hasher.hash_one((pool, endpoint)) as usize % Self::SHARDS;
        self.inner.shards.get(at).unwrap_or(first)
    }

    /// Returns the number of the range that contains the latency: twice the binary logarithm in microseconds.
    fn range(latency: Duration) -> u8 {
        let micros = latency.as_micros().max(1);
        let exponent = micros.ilog2();
        // The upper half of the doubling begins at 1.5 times its start.
        let upper = micros >= (3 << exponent) / 2 && exponent > 0;
        let range = 2 * exponent + u32::from(upper);
        u8::try_from(range).unwrap_or(Self::RANGES).min(Self::RANGES - 1)
    }
}

/// Removes the endpoint whose newest exemplar is the oldest one.
fn forget_oldest(shard: &mut Shard) {
    let ages = shard.iter().flat_map(|(pool, of_pool)| of_pool.iter().map(move |(id, one)| (one.newest, pool, id)));
    let Some((_, pool, id)) = ages.min_by_key(|(newest, ..)| *newest) else { return };
    let (pool, id) = (Arc::clone(pool), id.clone());
    if let Some(of_pool) = shard.get_mut(&pool) {
        of_pool.remove(&id);
        if of_pool.is_empty() {
            shard.remove(&pool);
        }
    }
}

impl Default for Exemplars {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Exemplars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exemplars").field("max_per_shard", &self.inner.max_per_shard).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn pool() -> Arc<str> {
        "web".into()
    }

    #[test]
    fn the_newest_request_of_each_range_of_latencies_is_kept() {
        let (exemplars, a) = (Exemplars::new(), EndpointId::from("a"));
        for (latency, id) in [(ms(1), "1"), (ms(100), "2"), (ms(101), "3")] {
            exemplars.record(&pool(), &a, latency, id);
        }
        let id = |latencies| exemplars.newest(&pool(), &a, latencies).map(|exemplar| exemplar.trace_id);
        assert_eq!(id(ms(0)..ms(10)).as_deref(), Some("1"));
        assert_eq!(id(ms(10)..ms(1_000)).as_deref(), Some("3"));
        assert_eq!(id(ms(2)..ms(3)), None);
        assert_eq!(exemplars.of_endpoint(&pool(), &a).len(), 2);
        assert_eq!(exemplars.of_endpoint("api", &a), []);
    }

    #[test]
    fn ranges_grow_with_the_latency_and_are_limited() {
        let all = (0..=70 * 60 * 1_000).map(|at| Exemplars::range(Duration::from_millis(at)));
        assert!(all.is_sorted());
        assert_eq!(Exemplars::range(Duration::ZERO), 0);
        assert_eq!(Exemplars::range(Duration::MAX), Exemplars::RANGES - 1);
        assert!(Exemplars::range(Duration::from_secs(50 * 60)) < Exemplars::RANGES - 1);
    }

    #[test]
    fn the_number_of_endpoints_is_limited_and_the_longest_unused_one_is_forgotten() {
        let exemplars = Exemplars::with_max_endpoints(100);
        let ids: Vec<_> = (0..10_000).map(|at| EndpointId::from(format!("10.0.0.1:{at}"))).collect();
        for id in &ids {
            exemplars.record(&pool(), id, ms(1), "1");
        }
        let kept: Vec<_> = ids.iter().map(|id| !exemplars.of_endpoint(&pool(), id).is_empty()).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 112);
        assert_eq!(kept.last(), Some(&true));
        assert_eq!(kept.first(), Some(&false));
    }

    #[test]
    fn the_memory_of_an_endpoint_is_limited() {
        let (exemplars, a) = (Exemplars::new(), EndpointId::from("a"));
        for at in 0..100_000 {
            exemplars.record(&pool(), &a, Duration::from_micros(at * at), "1");
        }
        assert!(exemplars.of_endpoint(&pool(), &a).len() <= usize::from(Exemplars::RANGES));
    }
}
