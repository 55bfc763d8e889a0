use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`RedisStore`](super::RedisStore) has done since it was built.
///
/// Every lookup counts once, as one of the first six; those whose caller left before the answer count too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Lookups answered from the near-cache.
    pub near_hits: u64,
    /// Lookups answered from the near-cache although its entry was past its time, because the server was away.
    pub stale_hits: u64,
    /// Lookups for which the server had a binding.
    pub hits: u64,
    /// Lookups for which nobody had a binding.
    pub misses: u64,
    /// Lookups without an answer: the server away, too slow, or refusing.
    pub away: u64,
    /// Lookups whose answer was no binding.
    pub garbage: u64,
    /// Bindings and endings written to the server.
    pub writes: u64,
    /// Bindings and endings that did not get to the server: the queue full, the server away or refusing. The near-cache
    /// has them, and writes them when they are next used.
    pub writes_dropped: u64,
    /// Bindings that lost to another balancer's.
    pub races_lost: u64,
    /// Connections made after the first.
    pub reconnects: u64,
    /// Connections given up because the server broke the protocol.
    pub protocol_errors: u64,
    /// Whether the server can be asked now.
    pub connected: bool,
}

macro_rules! counters {
    ($($name:ident),*) => {
        #[derive(Debug, Default)]
        pub(super) struct Counters { $(pub(super) $name: Counter),* }

        impl Counters {
            pub(super) fn snapshot(&self, connected: bool) -> RedisStats {
                RedisStats { $($name: self.$name.get(),)* connected }
            }
        }
    };
}

counters!(
    near_hits,
    stale_hits,
    hits,
    misses,
    away,
    garbage,
    writes,
    writes_dropped,
    races_lost,
    reconnects,
    protocol_errors
);

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.add(1);
    }

    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
