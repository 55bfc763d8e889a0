use std::{
    convert::Infallible,
    fmt,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use equipoise_core::{SourceKey, SourcePrefix};
use equipoise_tower::RequestHead;
use quick_cache::sync::Cache;

use crate::{read::seconds, source::ClientAddress};

/// Maximum number of sources that are counted at a time, at about 100 bytes each. Beyond it, sources that were not seen
/// recently are forgotten, and start again at 0.
const MAX_SOURCES: usize = 65_536;

/// A limit on how many sessions the clients of one source may start in an interval. A source is an IPv4 address or an
/// IPv6 network of 64 bits, unless [`prefix`](Self::prefix) changes this. Set the limit with
/// [`Affinity::session_limit`](crate::Affinity::session_limit).
///
/// The limit protects a [session store](crate::SessionStore) from a client that starts very many sessions. A client can
/// do this in two ways:
///
/// - It sends keys that it invents.
/// - It sends requests without a key to a backend that creates a session for each of them.
///
/// Without a limit, such a client can fill the store, and the store then evicts sessions of other clients. The store
/// cannot prevent this, because it does not know which client a session belongs to.
///
/// Set the [`interval`](Self::interval) to the idle timeout of the store. The store then contains at most 2 ×
/// `max_sessions` unused sessions of each source: those that the source started in the current interval and in the one
/// before. (`max_sessions` is an argument of [`new`](Self::new).) All clients behind one address translator (NAT) are
/// one source, so `max_sessions` must be large enough for all of them.
///
/// The limit counts the sessions of at most 65,536 sources at a time. If there are more sources, the counts of sources
/// that were not seen recently are deleted, and these sources start again at 0.
///
/// ```
/// use std::{num::NonZeroU32, sync::Arc};
/// use equipoise_affinity::{
///     Affinity, Mode, SessionLimit,
///     learn::Learn,
///     source::{ClientAddress, ForwardedHeader},
///     table::SessionTable,
/// };
/// use equipoise_core::{EndpointSpec, Pool};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
/// let client = ClientAddress::behind("10.1.0.0/16".parse()?).header(ForwardedHeader::XForwardedFor);
/// let limit = SessionLimit::new(client, NonZeroU32::new(500).ok_or("zero")?);
/// let store = Arc::new(SessionTable::builder().build()?);
/// let affinity = Affinity::new(&pool, Mode::learn(Learn::new().cookie("JSESSIONID")?, store))?.session_limit(limit);
/// # drop(affinity);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionLimit {
    client: ClientAddress,
    prefix: SourcePrefix,
    max_sessions: NonZeroU32,
    interval: Duration,
}

impl SessionLimit {
    /// Creates a limit of `max_sessions` new sessions in 30 minutes for each source: for each IPv4 address and each
    /// IPv6 network of 64 bits. `client` determines the IP address of the client that sent a request. All requests for
    /// which `client` finds no address count as one source.
    pub fn new(client: ClientAddress, max_sessions: NonZeroU32) -> Self {
        Self { client, prefix: SourcePrefix::default(), max_sessions, interval: Duration::from_secs(30 * 60) }
    }

    /// Sets how many leading bits of a client's address determine its source. Clients with the same leading bits are
    /// one source. Default: 32 bits of an IPv4 address, 64 bits of an IPv6 address.
    #[must_use]
    pub fn prefix(mut self, prefix: SourcePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Sets the interval in which the new sessions of a source are counted. Default: 30 minutes. Minimum: 1 second; a
    /// shorter time counts as 1 second. A fraction of a second is ignored.
    ///
    /// The [clock](crate::Affinity::clock) of the `Affinity` measures the intervals. An interval begins when the
    /// previous one ends, at the same time for all sources. A source can start `max_sessions` sessions at the end of
    /// one interval and `max_sessions` sessions at the start of the next one. (`max_sessions` is an argument of
    /// [`new`](Self::new).) The source can therefore start up to 2 × `max_sessions` sessions in a short time.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }
}

/// Counts the sessions that each source has started in the current interval.
pub(super) struct NewSessions {
    limit: SessionLimit,
    /// The counter of each source: the number of the interval in the upper 32 bits, the number of sessions in the lower
    /// 32 bits.
    sources: Cache<Option<SourceKey>, Arc<AtomicU64>>,
}

impl NewSessions {
    pub(super) fn new(limit: SessionLimit) -> Self {
        Self { limit, sources: Cache::new(MAX_SOURCES) }
    }

    /// Returns the address of the client that sent the request; `None` if it is not known.
    pub(super) fn client(&self, head: RequestHead<'_>) -> Option<IpAddr> {
        self.limit.client.of(head)
    }

    /// Counts a new session for the client's source. Returns whether the session is within the limit. A session over
    /// the limit is not counted.
    pub(super) fn begin(&self, client: Option<IpAddr>, now: SystemTime) -> bool {
        let source = client.map(|client| self.limit.prefix.key(client));
        let Ok(counter) = self.sources.get_or_insert_with(&source, || Ok::<_, Infallible>(Arc::default()));
        let interval = (seconds(now) / self.limit.interval.as_secs().max(1)) & u64::from(u32::MAX);
        let more = |counted: u64| {
            let begun = if counted >> 32 == interval { counted as u32 } else { 0 };
            (begun < self.limit.max_sessions.get()).then(|| interval << 32 | u64::from(begun + 1))
        };
        counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

impl fmt::Debug for NewSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn each_source_may_begin_so_many_sessions_in_an_interval() {
        let limit = SessionLimit::new(ClientAddress::connection(), NonZeroU32::new(2).unwrap());
        let sessions = NewSessions::new(limit.interval(Duration::from_secs(60)));
        let begin = |client: Option<&str>, seconds| {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            sessions.begin(client.map(|client| client.parse().unwrap()), now)
        };
        for client in [Some("192.0.2.7"), Some("2001:db8::1"), None] {
            let begun: Vec<bool> = [0, 59, 59, 60, 119, 119, 90].map(|seconds| begin(client, seconds)).to_vec();
            assert_eq!(begun, [true, true, false, true, true, false, false], "{client:?}");
        }
        assert!(begin(Some("192.0.2.8"), 60) && !begin(Some("2001:db8::2"), 60), "64 bits of IPv6 are one source");
    }

    #[test]
    fn no_number_of_sources_takes_more_room() {
        let limit = SessionLimit::new(ClientAddress::connection(), NonZeroU32::MIN);
        let sessions = NewSessions::new(limit);
        for source in 0..3 * MAX_SOURCES as u32 {
            sessions.begin(Some(IpAddr::from(source.to_be_bytes())), UNIX_EPOCH);
        }
        assert!(sessions.sources.len() <= MAX_SOURCES);
    }
}
