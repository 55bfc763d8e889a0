use std::sync::atomic::{AtomicU64, Ordering};

/// What a [`RedisStore`](super::RedisStore) has done since it was created.
///
/// Each lookup is counted in exactly one of the first six fields, also if its caller did not wait for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Lookups answered from the local cache.
    pub cache_hits: u64,
    /// Lookups answered from a cache entry past its time, because the server was unavailable.
    pub stale_hits: u64,
    /// Lookups for which the server had a binding.
    pub hits: u64,
    /// Lookups for which there was no binding.
    pub misses: u64,
    /// Lookups without an answer: the server was unavailable or too slow, or refused the command.
    pub unavailable: u64,
    /// Lookups whose answer was not a binding.
    pub malformed: u64,
    /// Bindings and ends of sessions written to the server.
    pub writes: u64,
    /// Bindings and ends of sessions that were not written: the queue was full, or the server was unavailable or
    /// refused them. The local cache has them, and writes them when they are next used.
    pub writes_dropped: u64,
    /// Bindings that lost against another balancer's.
    pub races_lost: u64,
    /// Connections made after the first one.
    pub reconnects: u64,
    /// Connections ended because the server broke the protocol.
    pub protocol_errors: u64,
    /// Whether the server is connected and answers.
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
    cache_hits,
    stale_hits,
    hits,
    misses,
    unavailable,
    malformed,
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
