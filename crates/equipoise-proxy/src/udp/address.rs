//! The addresses of endpoints, and the names in them.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use equipoise_core::{__private::guarded, Address, InvalidAddress};
use equipoise_http::Resolve;
use tokio::time::Instant;

use crate::timing::within;

/// How long the addresses of a name are used before it is resolved again.
const FRESH: Duration = Duration::from_secs(30);
/// How long a name that could not be resolved is not asked for again.
const FAILED: Duration = Duration::from_secs(1);
/// How long a name may take to be resolved.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a name is kept that no session has asked for.
const UNUSED: Duration = Duration::from_secs(600);

/// Where datagrams for an endpoint are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    Ip(SocketAddr),
    Name { host: &'a str, port: u16 },
}

impl<'a> Target<'a> {
    fn parse(address: &'a str) -> Result<Self, InvalidAddress> {
        if let Ok(address) = address.parse::<SocketAddr>() {
            return match address.port() {
                0 => Err(needs_port(address)),
                _ => Ok(Self::Ip(address)),
            };
        }
        let parsed = Address::parse(address)?;
        if parsed.scheme().is_some() && !parsed.has_scheme("udp") {
            return Err(
                InvalidAddress::new(address).because("the scheme of an endpoint for UDP is udp, or there is none")
            );
        }
        if parsed.userinfo().is_some() || !matches!(parsed.path_query_and_fragment(), "" | "/") {
            return Err(
                InvalidAddress::new(address).because("an endpoint for UDP has a host and a port, and nothing else")
            );
        }
        let port = parsed.port().ok_or_else(|| needs_port(address))?;
        match parsed.host().parse::<IpAddr>() {
            Ok(ip) => Ok(Self::Ip(SocketAddr::new(ip, port))),
            Err(_) => Ok(Self::Name { host: parsed.host(), port }),
        }
    }
}

fn needs_port(address: impl ToString) -> InvalidAddress {
    InvalidAddress::new(address.to_string())
        .because("an endpoint for UDP needs a port, as in 10.0.0.7:53 or dns.internal:53")
}

/// Checks that datagrams can be sent to the address of an endpoint.
pub(super) fn check(address: &str) -> Result<(), InvalidAddress> {
    Target::parse(address).map(drop)
}

/// What is known of an endpoint's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    At(SocketAddr),
    /// The addresses of a name, in the order of preference: at least one.
    Named(Arc<[SocketAddr]>),
    /// The name is being resolved.
    Later,
    /// The address is invalid, or its name cannot be resolved.
    Nowhere,
}

type Lookup = Pin<Box<dyn Future<Output = Arc<[SocketAddr]>> + Send>>;

/// The names in the addresses of endpoints.
pub(super) struct Names {
    names: HashMap<Box<str>, Name>,
    waker: Waker,
}

struct Name {
    /// The last result. Empty if the name could not be resolved.
    addresses: Arc<[SocketAddr]>,
    resolved_at: Option<Instant>,
    used_at: Instant,
    lookup: Option<Lookup>,
}

impl Name {
    fn is_fresh(&self, now: Instant) -> bool {
        let time = if self.addresses.is_empty() { FAILED } else { FRESH };
        self.resolved_at.is_some_and(|at| now.saturating_duration_since(at) < time)
    }
}

impl Names {
    /// `waker` is woken when names are resolved.
    pub(super) fn new(waker: Waker) -> Self {
        Self { names: HashMap::new(), waker }
    }

    /// Returns where datagrams for an endpoint are sent. If its name has to be resolved first, ask again when
    /// [`poll`](Self::poll) has returned true.
    pub(super) fn find(&mut self, address: &str, now: Instant, resolver: &Arc<dyn Resolve>) -> Known {
        let (host, port) = match Target::parse(address) {
            Ok(Target::Ip(address)) => return Known::At(address),
            Ok(Target::Name { host, port }) => (host, port),
            Err(_) => return Known::Nowhere,
        };
        if !self.names.contains_key(address) {
            self.names.retain(|_, name| now.saturating_duration_since(name.used_at) < UNUSED);
        }
        let name = self.names.entry(address.into()).or_insert_with(|| Name {
            addresses: Arc::default(),
            resolved_at: None,
            used_at: now,
            lookup: None,
        });
        name.used_at = now;
        if name.lookup.is_none() && !name.is_fresh(now) {
            name.lookup = Some(Box::pin(look_up(Arc::clone(resolver), host.to_owned(), port)));
            // It is polled in the next poll of the worker.
            self.waker.wake_by_ref();
        }
        if !name.addresses.is_empty() {
            Known::Named(Arc::clone(&name.addresses))
        } else if name.lookup.is_some() {
            Known::Later
        } else {
            Known::Nowhere
        }
    }

    /// Goes on with the lookups. Returns whether one has ended.
    pub(super) fn poll(&mut self, now: Instant) -> bool {
        let (mut cx, mut ended) = (Context::from_waker(&self.waker), false);
        for name in self.names.values_mut() {
            let Some(lookup) = &mut name.lookup else { continue };
            // A resolver that panics has found nothing.
            let addresses = match guarded(|| lookup.as_mut().poll(&mut cx)) {
                Some(Poll::Pending) => continue,
                Some(Poll::Ready(addresses)) => addresses,
                None => Arc::default(),
            };
            name.lookup = None;
            name.resolved_at = Some(now);
            // Addresses that were found before are better than none.
            if !addresses.is_empty() {
                name.addresses = addresses;
            }
            ended = true;
        }
        ended
    }
}

async fn look_up(resolver: Arc<dyn Resolve>, host: String, port: u16) -> Arc<[SocketAddr]> {
    match within(LOOKUP_TIMEOUT, resolver.resolve(&host, port)).await {
        Some(Ok(addresses)) => addresses.into_iter().filter(|address| address.port() != 0).collect(),
        Some(Err(error)) => {
            tracing::warn!(host, %error, "the name of an endpoint cannot be resolved");
            Arc::default()
        }
        None => {
            tracing::warn!(host, "the name of an endpoint was not resolved in time");
            Arc::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use equipoise_http::ResolveFuture;

    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port() {
        let ip = |text: &str| Target::Ip(text.parse().expect("an address"));
        for (address, target) in [
            ("10.0.0.7:53", ip("10.0.0.7:53")),
            ("[::1]:53", ip("[::1]:53")),
            ("UDP://10.0.0.7:53/", ip("10.0.0.7:53")),
            ("udp://[::1]:53", ip("[::1]:53")),
            ("dns.internal:53", Target::Name { host: "dns.internal", port: 53 }),
            ("udp://dns.internal:53", Target::Name { host: "dns.internal", port: 53 }),
        ] {
            assert_eq!(Target::parse(address), Ok(target), "{address}");
        }
        for (address, reason) in [
            ("10.0.0.7", "port"),
            ("10.0.0.7:0", "port"),
            ("dns.internal", "port"),
            ("http://dns.internal:53", "scheme"),
            ("udp://dns.internal:53/x", "nothing else"),
            ("udp://me@dns.internal:53", "nothing else"),
            ("unix:///run/app.sock", "scheme"),
        ] {
            let error = check(address).expect_err(address);
            assert!(error.reason().is_some_and(|said| said.contains(reason)), "{error}");
        }
    }

    /// Resolves `p9` to port 9 of 127.0.0.1, and counts the questions.
    #[derive(Debug, Default)]
    struct Ports(AtomicUsize);

    impl Resolve for Ports {
        fn resolve<'a>(&'a self, host: &'a str, _port: u16) -> ResolveFuture<'a> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match host {
                    "never" => std::future::pending().await,
                    "panic" => panic!("in a resolver"),
                    _ => Ok(vec![SocketAddr::from(([127, 0, 0, 1], host.trim_matches('p').parse()?))]),
                }
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_resolved_once_and_again_after_a_time() {
        let ports = Arc::new(Ports::default());
        let resolver: Arc<dyn Resolve> = ports.clone();
        let asked = || ports.0.load(Ordering::Relaxed);
        let mut names = Names::new(Waker::noop().clone());
        let at = Known::Named(Arc::new([SocketAddr::from(([127, 0, 0, 1], 9))]));
        let now = Instant::now();
        for _ in 0..2 {
            assert_eq!(names.find("p9:53", now, &resolver), Known::Later);
        }
        assert!(names.poll(now));
        assert_eq!((names.find("p9:53", now, &resolver), asked()), (at.clone(), 1));
        let later = now + FRESH;
        assert_eq!(names.find("p9:53", later, &resolver), at, "the old address is used meanwhile");
        assert!(names.poll(later) && !names.poll(later));
        assert_eq!(asked(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_without_address_is_asked_for_again_later() {
        let resolver: Arc<dyn Resolve> = Arc::new(Ports::default());
        let mut names = Names::new(Waker::noop().clone());
        for name in ["nothing:53", "panic:53"] {
            let now = Instant::now();
            assert_eq!(names.find(name, now, &resolver), Known::Later);
            assert!(names.poll(now));
            assert_eq!(names.find(name, now, &resolver), Known::Nowhere);
            assert_eq!(names.find(name, now + FAILED, &resolver), Known::Later);
            assert!(names.poll(now + FAILED));
        }
        let now = Instant::now();
        assert_eq!(names.find("no port", now, &resolver), Known::Nowhere);
        // Names that are not used any more are forgotten when another one comes.
        names.find("p9:53", now + FAILED + UNUSED, &resolver);
        assert_eq!(names.names.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_that_takes_too_long_is_given_up() {
        let resolver: Arc<dyn Resolve> = Arc::new(Ports::default());
        let mut names = Names::new(Waker::noop().clone());
        let now = Instant::now();
        assert_eq!(names.find("never:53", now, &resolver), Known::Later);
        assert!(!names.poll(now));
        tokio::time::advance(LOOKUP_TIMEOUT + Duration::from_millis(1)).await;
        assert!(names.poll(Instant::now()));
        assert_eq!(names.find("never:53", Instant::now(), &resolver), Known::Nowhere);
    }
}
