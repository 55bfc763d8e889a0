use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of a [`RedisStore`](super::RedisStore) since it was created, and whether it is connected. Returned by
/// [`RedisStore::stats`](super::RedisStore::stats).
///
/// Each lookup is counted in exactly one of `cache_hits`, `stale_hits`, `hits`, `misses`, `unavailable` and
/// `malformed`. It is counted even if its caller did not wait for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Number of lookups that the local cache answered with a binding, without asking the server.
    pub cache_hits: u64,
    /// Number of lookups that the local cache answered with an old binding, because the server was unavailable. The
    /// binding was older than [`cache_ttl`](super::RedisStoreBuilder::cache_ttl).
    pub stale_hits: u64,
    /// Number of lookups that the server answered with a binding.
    pub hits: u64,
    /// Number of lookups for which there was no binding.
    pub misses: u64,
    /// Number of lookups without an answer: the server was unavailable, did not answer in time or refused the command,
    /// and the local cache had no binding.
    pub unavailable: u64,
    /// Number of lookups that the server answered with data that is not a binding.
    pub malformed: u64,
    /// Number of writes to the server that have succeeded. A write stores a binding or removes the binding of a session
    /// that has ended.
    pub writes: u64,
    /// Number of writes that were not done because the queue was full, or because the server was unavailable or refused
    /// them. A write stores a binding or removes one. The local cache has the change, and writes it to the server when
    /// the session is used again.
    pub writes_dropped: u64,
    /// Number of bindings that were not stored because another balancer had already bound the session to another
    /// endpoint.
    pub races_lost: u64,
    /// Number of connections to the server after the first one.
    pub reconnects: u64,
    /// Number of connections that were closed because the server sent a reply that violates the protocol.
    pub protocol_errors: u64,
    /// Whether the store is connected to the server and the server answers.
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
