use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::limits::{ForwardLimits, LimitReached, Quota};

/// How long no client is forgotten after it was looked which clients can be. Each look costs time in proportion to the
/// number of clients, and a client whose address changes could otherwise cause one with each request.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// For whom is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    User(Arc<str>),
    Address(IpAddr),
    /// Its address is not known, as with a Unix socket. All such clients are counted as one.
    Unknown,
}

impl Client {
    /// The client with this address. Machines usually choose the last 64 bits of an IPv6 address themselves.
    pub(super) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            address => address,
        })
    }

    /// Returns the bytes by which clients differ, for the choice of an endpoint.
    pub(super) fn key(&self) -> Vec<u8> {
        match self {
            Self::User(name) => name.as_bytes().to_vec(),
            Self::Address(IpAddr::V4(address)) => address.octets().to_vec(),
            Self::Address(IpAddr::V6(address)) => address.octets().to_vec(),
            Self::Unknown => Vec::new(),
        }
    }
}

/// What is counted of all clients.
#[derive(Debug)]
pub(super) struct Accounts {
    limits: ForwardLimits,
    open: Arc<AtomicUsize>,
    clients: Arc<Mutex<Clients>>,
}

#[derive(Debug, Default)]
struct Clients {
    by_client: HashMap<Client, Arc<Account>>,
    swept: Option<Instant>,
}

/// What is counted of one client.
#[derive(Debug, Default)]
struct Account {
    tunnels: AtomicUsize,
    requests: Arc<AtomicUsize>,
    /// `None` before the first byte.
    period: Mutex<Option<Period>>,
}

#[derive(Clone, Copy, Debug)]
struct Period {
    began: Instant,
    bytes: u64,
}

impl Account {
    /// Counts bytes. Returns an error if there are more than the quota in this period.
    fn transfer(&self, quota: Quota, bytes: u64) -> Result<(), LimitReached> {
        let now = Instant::now();
        let mut period = self.period.lock();
        let current = period.get_or_insert(Period { began: now, bytes: 0 });
        if now.duration_since(current.began) >= quota.period {
            *current = Period { began: now, bytes: 0 };
        }
        current.bytes = current.bytes.saturating_add(bytes);
        if current.bytes <= quota.bytes {
            return Ok(());
        }
        Err(LimitReached::ClientBytes { retry_after: quota.period.saturating_sub(now.duration_since(current.began)) })
    }

    /// Returns how many bytes of this period are left. Returns an error if there are none.
    fn left(&self, quota: Quota) -> Result<u64, LimitReached> {
        let Some(period) = *self.period.lock() else { return Ok(quota.bytes) };
        match (quota.period.saturating_sub(period.began.elapsed()), quota.bytes.saturating_sub(period.bytes)) {
            (Duration::ZERO, _) => Ok(quota.bytes),
            (retry_after, 0) => Err(LimitReached::ClientBytes { retry_after }),
            (_, left) => Ok(left),
        }
    }

    /// Returns whether nothing of it need be remembered.
    fn is_unused(self: &Arc<Self>, quota: Option<Quota>) -> bool {
        let is_over = match (quota, &*self.period.lock()) {
            (Some(quota), Some(period)) => period.began.elapsed() >= quota.period,
            _ => true,
        };
        // The other reference is that of a meter or a tunnel.
        is_over && Arc::strong_count(self) == 1
    }
}

impl Accounts {
    pub(super) fn new(limits: ForwardLimits) -> Self {
        Self { limits, open: Arc::default(), clients: Arc::default() }
    }

    /// Returns the same accounts with other limits.
    pub(super) fn with_limits(&self, limits: ForwardLimits) -> Self {
        Self { limits, open: Arc::clone(&self.open), clients: Arc::clone(&self.clients) }
    }

    pub(super) fn limits(&self) -> &ForwardLimits {
        &self.limits
    }

    /// Returns the number of open tunnels.
    pub(super) fn open_tunnels(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Begins a request of HTTP, which is in flight as long as there are clones of the meter. `None` if nothing limits it.
    pub(super) fn request(&self, client: &Client) -> Result<Option<Meter>, LimitReached> {
        let (quota, max) = (self.limits.quota, self.limits.max_requests_per_client);
        if quota.is_none() && max == usize::MAX {
            return Ok(None);
        }
        let account = self.account(client)?;
        if let Some(quota) = quota {
            account.left(quota)?;
        }
        let in_flight = Counted::below(&account.requests, max).ok_or(LimitReached::ClientRequests)?;
        Ok(Some(Meter::new(account, quota, u64::MAX, Some(in_flight))))
    }

    /// Opens a tunnel.
    pub(super) fn tunnel(&self, client: &Client) -> Result<OpenTunnel, LimitReached> {
        let account = self.account(client)?;
        if let Some(quota) = self.limits.quota {
            account.left(quota)?;
        }
        let all = Counted::below(&self.open, self.limits.max_tunnels).ok_or(LimitReached::Tunnels)?;
        let own = Arc::clone(&account);
        let max = self.limits.max_tunnels_per_client;
        if own
            .tunnels
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| (open < max).then_some(open + 1))
            .is_err()
        {
            return Err(LimitReached::ClientTunnels);
        }
        let meter = Meter::new(account, self.limits.quota, self.limits.max_tunnel_bytes, None);
        Ok(OpenTunnel { meter, _all: all, own })
    }

    fn account(&self, client: &Client) -> Result<Arc<Account>, LimitReached> {
        let mut clients = self.clients.lock();
        if let Some(account) = clients.by_client.get(client) {
            return Ok(Arc::clone(account));
        }
        if clients.by_client.len() >= self.limits.max_clients {
            let now = Instant::now();
            if clients.swept.is_some_and(|swept| now.duration_since(swept) < SWEEP_INTERVAL) {
                return Err(LimitReached::Clients);
            }
            clients.swept = Some(now);
            clients.by_client.retain(|_, account| !account.is_unused(self.limits.quota));
            if clients.by_client.len() >= self.limits.max_clients {
                return Err(LimitReached::Clients);
            }
        }
        let account = Arc::<Account>::default();
        clients.by_client.insert(client.clone(), Arc::clone(&account));
        Ok(account)
    }
}

/// One of a number that is limited.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn below(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let added =
            count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| (count < max).then_some(count + 1));
        added.is_ok().then(|| Self(Arc::clone(count)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to a tunnel. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct OpenTunnel {
    meter: Meter,
    _all: Counted,
    own: Arc<Account>,
}

impl OpenTunnel {
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.own.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts the bytes of a tunnel, or of a request and its response. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Meter(Arc<Metered>);

#[derive(Debug)]
struct Metered {
    account: Arc<Account>,
    quota: Option<Quota>,
    max: u64,
    bytes: AtomicU64,
    _in_flight: Option<Counted>,
}

impl Meter {
    fn new(account: Arc<Account>, quota: Option<Quota>, max: u64, in_flight: Option<Counted>) -> Self {
        Self(Arc::new(Metered { account, quota, max, bytes: AtomicU64::new(0), _in_flight: in_flight }))
    }

    /// Returns the number of bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many bytes may pass, at least 1. Returns an error if none may.
    pub(super) fn left(&self) -> Result<u64, LimitReached> {
        let Metered { account, quota, max, .. } = &*self.0;
        let own = max.saturating_sub(self.bytes());
        let own = if own == 0 { Err(LimitReached::TunnelBytes) } else { Ok(own) }?;
        Ok(match quota {
            Some(quota) => account.left(*quota)?.min(own),
            None => own,
        })
    }

    /// Counts bytes that are about to pass. Returns an error if they are more than may pass.
    pub(super) fn add(&self, bytes: usize) -> Result<(), LimitReached> {
        let Metered { account, quota, max, bytes: all, .. } = &*self.0;
        let bytes = bytes as u64;
        if all.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > *max {
            return Err(LimitReached::TunnelBytes);
        }
        match quota {
            Some(quota) => account.transfer(*quota, bytes),
            None => Ok(()),
        }
    }
}

impl From<LimitReached> for io::Error {
    fn from(limit: LimitReached) -> Self {
        Self::other(limit)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn user(name: &str) -> Client {
        Client::User(name.into())
    }

    #[test]
    fn tunnels_are_limited_for_each_client_and_for_all() {
        let accounts = Accounts::new(ForwardLimits::new().max_tunnels(3).max_tunnels_per_client(2));
        let open = |name: &str| accounts.tunnel(&user(name));
        let (first, second) = (open("a").expect("room"), open("a").expect("room"));
        assert_eq!(open("a").err(), Some(LimitReached::ClientTunnels));
        let third = open("b").expect("room");
        assert_eq!((open("b").err(), accounts.open_tunnels()), (Some(LimitReached::Tunnels), 3));
        drop((first, third));
        assert_eq!(accounts.open_tunnels(), 1);
        let fourth = open("a").expect("room again");
        assert_eq!(open("a").err(), Some(LimitReached::ClientTunnels));
        assert_eq!(accounts.open_tunnels(), 2, "a tunnel that is refused is not counted");
        drop((second, fourth));
        assert_eq!(accounts.open_tunnels(), 0);
    }

    #[test]
    fn the_requests_in_flight_of_each_client_are_limited() {
        let accounts = Accounts::new(ForwardLimits::new().max_requests_per_client(2));
        let begin = |name: &str| accounts.request(&user(name)).map(|meter| meter.expect("limited"));
        let (first, second) = (begin("a").expect("room"), begin("a").expect("room"));
        let clone = first.clone();
        drop(first);
        assert_eq!(begin("a").err(), Some(LimitReached::ClientRequests), "a clone is the same request");
        assert!(begin("b").is_ok());
        assert_eq!(second.add(1_000_000), Ok(()), "its bytes are not limited");
        drop(clone);
        assert!(begin("a").is_ok());
        let unlimited = accounts.with_limits(ForwardLimits::new());
        assert!(unlimited.request(&user("a")).is_ok_and(|meter| meter.is_none()));
    }

    #[test]
    fn the_bytes_of_a_tunnel_are_limited() {
        let accounts = Accounts::new(ForwardLimits::new().max_tunnel_bytes(10));
        let tunnel = accounts.tunnel(&Client::Unknown).expect("room");
        let meter = tunnel.meter().clone();
        assert_eq!((meter.left(), meter.add(4), meter.left()), (Ok(10), Ok(()), Ok(6)));
        assert_eq!((tunnel.meter().add(6), meter.left()), (Ok(()), Err(LimitReached::TunnelBytes)));
        assert_eq!(meter.add(1), Err(LimitReached::TunnelBytes));
        assert_eq!(meter.bytes(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn the_bytes_of_a_client_are_limited_in_each_period() {
        let accounts = Accounts::new(ForwardLimits::new().max_bytes_per_client(10, HOUR));
        let request = || accounts.request(&user("a"));
        let meter = request().expect("nothing is used").expect("limited");
        let tunnel = accounts.tunnel(&user("a")).expect("nothing is used");
        assert_eq!((meter.add(5), tunnel.meter().left(), tunnel.meter().add(5)), (Ok(()), Ok(5), Ok(())));
        advance(HOUR / 4).await;
        let reached = LimitReached::ClientBytes { retry_after: HOUR * 3 / 4 };
        assert_eq!(tunnel.meter().left(), Err(reached));
        assert_eq!(tunnel.meter().add(1), Err(reached));
        assert_eq!((request().err(), accounts.tunnel(&user("a")).err()), (Some(reached), Some(reached)));
        assert!(accounts.request(&user("b")).is_ok());
        advance(HOUR * 3 / 4).await;
        assert!(request().is_ok());
        assert_eq!(meter.left(), Ok(10), "a new period");
        assert_eq!(meter.add(10), Ok(()));
        assert!(meter.add(1).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_clients_is_limited() {
        let accounts = Accounts::new(ForwardLimits::new().max_clients(2).max_bytes_per_client(10, HOUR));
        let tunnel = accounts.tunnel(&user("a")).expect("room");
        let meter = accounts.request(&user("b")).expect("room").expect("limited");
        meter.add(1).expect("less than the quota");
        drop(meter);
        assert_eq!(accounts.request(&user("c")).err(), Some(LimitReached::Clients));
        assert!(accounts.request(&user("a")).is_ok(), "a client that is known");
        advance(HOUR).await;
        // The period of b is over.
        assert!(accounts.request(&user("c")).is_ok());
        drop(tunnel);
        assert_eq!(accounts.request(&user("d")).err(), Some(LimitReached::Clients), "no other look within a second");
        advance(SWEEP_INTERVAL).await;
        assert!(accounts.request(&user("d")).is_ok());
        assert_eq!(accounts.clients.lock().by_client.len(), 1);
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        let at = |text: &str| Client::at(text.parse().expect("an address"));
        assert_eq!(at("2001:db8:0:1::1"), at("2001:db8:0:1:ffff::2"));
        assert_ne!(at("2001:db8:0:1::1"), at("2001:db8:0:2::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
