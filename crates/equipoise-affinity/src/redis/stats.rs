use std::sync::atomic::{AtomicU64, Ordering};

use crate::link::Link;

/// Counters of a [`RedisStore`](super::RedisStore) since it was created, and whether it is connected. Returned by
/// [`RedisStore::stats`](super::RedisStore::stats).
///
/// Each lookup is counted in exactly one of `cache_hits`, `stale_hits`, `hits`, `misses`, `unavailable` and
/// `malformed`. A lookup is counted even if its caller no longer waits for the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStats {
    /// Number of lookups that the local cache answered with the session's endpoint, without asking the server.
    pub cache_hits: u64,
    /// Number of lookups that the local cache answered with the session's endpoint although this entry of the cache was
    /// older than [`cache_ttl`](super::RedisStoreBuilder::cache_ttl), because the server gave no answer (see
    /// [`unavailable`](Self::unavailable) for the reasons).
    pub stale_hits: u64,
    /// Number of lookups that the server answered with the session's endpoint.
    pub hits: u64,
    /// Number of lookups with the answer that the session is not bound to an endpoint.
    pub misses: u64,
    /// Number of lookups that failed, because the local cache did not contain the session and the server gave no
    /// answer. The server gave no answer for one of these reasons:
    ///
    /// - The server was unavailable.
    /// - The server did not answer in time.
    /// - The server refused the command.
    /// - 4,096 other lookups were already waiting for the server.
    pub unavailable: u64,
    /// Number of lookups that the server answered with data that does not name an endpoint in the store's format.
    pub malformed: u64,
    /// Number of writes to the server that have succeeded. A write stores the endpoint of a session, or removes a
    /// session that has ended.
    pub writes: u64,
    /// Number of writes to the server that were not done. A write stores the endpoint of a session, or removes a
    /// session that has ended. These are the reasons why a write was not done:
    ///
    /// - The [queue of writes](super::RedisStoreBuilder::write_queue) was full.
    /// - The server was unavailable, refused the write, or answered with data that does not name an endpoint in the
    ///   store's format.
    /// - The id of the endpoint was empty, had more than 255 bytes, or contained a control character. Such an endpoint
    ///   is not stored in the local cache either.
    ///
    /// If one of the first two reasons applies, the change stays in the local cache, and the store tries to write it
    /// when the session is used the next time.
    pub writes_dropped: u64,
    /// Number of times that the server did not store a session's new endpoint, because another balancer had already
    /// bound the session to a different endpoint.
    pub races_lost: u64,
    /// Number of connections to the server after the first one: how often the store connected again after its
    /// connection had ended.
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
            pub(super) fn snapshot(&self, link: &Link) -> RedisStats {
                RedisStats {
                    $($name: self.$name.get(),)*
                    reconnects: link.reconnects(),
                    protocol_errors: link.protocol_errors(),
                    connected: link.epoch().is_some(),
                }
            }
        }

        impl RedisStats {
            /// Returns all numbers with the names of their fields.
            pub(super) fn events(&self) -> Vec<(&'static str, u64)> {
                vec![
                    $((stringify!($name), self.$name),)*
                    ("reconnects", self.reconnects),
                    ("protocol_errors", self.protocol_errors),
                ]
            }
        }
    };
}

counters!(cache_hits, stale_hits, hits, misses, unavailable, malformed, writes, writes_dropped, races_lost);

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_an_event_with_the_name_of_its_field() {
        let stats = RedisStats { hits: 3, ..RedisStats::default() };
        let events = stats.events();
        assert!(events.contains(&("hits", 3)));
        let names: Vec<_> = events.iter().map(|(name, _)| *name).collect();
        let text = format!("{stats:?}");
        let fields: Vec<_> = text.split([' ', ',']).filter_map(|word| word.strip_suffix(':')).collect();
        assert_eq!(fields, [names, vec!["connected"]].concat());
    }
}
