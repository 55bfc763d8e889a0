use std::{
    convert::Infallible,
    fmt,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use equipoise_core::{SourceKey, SourcePrefix};
use equipoise_tower::RequestHead;
use quick_cache::sync::Cache;

use crate::source::ClientAddress;

/// Maximum number of sources that are counted at a time, at about 100 bytes each. Beyond it, the sources not seen for
/// longest are forgotten, and start again at 0.
const MAX_SOURCES: usize = 65_536;

/// A limit on how many sessions the clients behind one address may start in an interval: see
/// [`Affinity::session_limit`](crate::Affinity::session_limit).
///
/// It protects a [session store](crate::SessionStore) from a client that starts endless sessions, with keys that it
/// invents, or by requests without a session to a backend that creates one for each. Such sessions, once used twice,
/// displace those of other clients, because a key does not show where it comes from.
///
/// A good interval is the store's idle timeout. A source then has at most twice `max_sessions` live sessions that it
/// does not use. Clients behind one address translator (NAT) are one source, so allow for as many as there may be.
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
    /// Allows `max_sessions` new sessions in 30 minutes for each IPv4 address and each IPv6 network of 64 bits.
    /// `client` determines where a request comes from. Requests whose address it cannot determine count as one source.
    pub fn new(client: ClientAddress, max_sessions: NonZeroU32) -> Self {
        Self { client, prefix: SourcePrefix::default(), max_sessions, interval: Duration::from_secs(30 * 60) }
    }

    /// Sets how many bits of an address make a source. Default: 32 bits of an IPv4 address, 64 bits of an IPv6 address.
    #[must_use]
    pub fn prefix(mut self, prefix: SourcePrefix) -> Self {
        self.prefix = prefix;
        self
    }

    /// Sets the interval in which sessions are counted, in whole seconds. Default: 30 minutes; at least 1 second.
    ///
    /// Intervals follow one another by the [clock](crate::Affinity::clock), and are the same for all sources. Around
    /// the end of one, a source may therefore start up to twice `max_sessions`.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }
}

/// How many sessions each source has started.
pub(super) struct NewSessions {
    limit: SessionLimit,
    /// The number of the interval in the upper half, the sessions started in it in the lower half.
    sources: Cache<Option<SourceKey>, Arc<AtomicU64>>,
}

impl NewSessions {
    pub(super) fn new(limit: SessionLimit) -> Self {
        Self { limit, sources: Cache::new(MAX_SOURCES) }
    }

    /// Returns the address of the client that sent the request, if it is known.
    pub(super) fn client(&self, head: RequestHead<'_>) -> Option<IpAddr> {
        self.limit.client.of(head)
    }

    /// Counts one more session for the client's source. Returns whether it is within the limit.
    pub(super) fn begin(&self, client: Option<IpAddr>, now: SystemTime) -> bool {
        let source = client.map(|client| self.limit.prefix.key(client));
        let Ok(counter) = self.sources.get_or_insert_with(&source, || Ok::<_, Infallible>(Arc::default()));
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let interval = (seconds / self.limit.interval.as_secs().max(1)) & u64::from(u32::MAX);
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
