//! The addresses of endpoints, with what all sessions know of them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// The number of addresses from which on those without sessions are removed.
const MANY: usize = 64;

/// An address of an endpoint.
#[derive(Debug)]
pub(super) struct Peer {
    created: Instant,
    /// In nanoseconds after `created`: the last reply, or, if there was none since, the time at which the first session
    /// was opened after all others had ended.
    heard: AtomicU64,
}

impl Peer {
    fn new(now: Instant) -> Self {
        Self { created: now, heard: AtomicU64::new(0) }
    }

    /// Notes a reply to any session.
    pub(super) fn on_reply(&self, now: Instant) {
        let now = now.saturating_duration_since(self.created).as_nanos();
        self.heard.fetch_max(now.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns whether there was no reply to any session for this time, and it has had sessions for as long.
    pub(super) fn is_silent_for(&self, time: Duration, now: Instant) -> bool {
        let heard = Duration::from_nanos(self.heard.load(Ordering::Relaxed));
        now.saturating_duration_since(self.created).saturating_sub(heard) >= time
    }
}

/// The addresses of endpoints that have had sessions.
#[derive(Debug, Default)]
pub(super) struct Peers(ArcSwap<Known>);

#[derive(Clone, Debug, Default)]
struct Known {
    peers: HashMap<SocketAddr, Arc<Peer>>,
    /// The number of addresses at which those without sessions are removed.
    full: usize,
}

impl Peers {
    /// Returns the peer of an address, for a session that is opened.
    pub(super) fn get(&self, address: SocketAddr, now: Instant) -> Arc<Peer> {
        let address = canonical(address);
        if let Some(peer) = self.0.load().peers.get(&address) {
            if !is_used(peer) {
                peer.on_reply(now);
            }
            return Arc::clone(peer);
        }
        let new = Arc::new(Peer::new(now));
        self.0.rcu(|known| {
            let mut known = Known::clone(known);
            if known.peers.len() >= known.full {
                // Each map has one more reference to it, and there are two now.
                known.peers.retain(|_, peer| Arc::strong_count(peer) > 2);
                known.full = (2 * known.peers.len()).max(MANY);
            }
            known.peers.entry(address).or_insert_with(|| Arc::clone(&new));
            known
        });
        // Another worker may have been faster.
        self.0.load().peers.get(&address).map_or(new, Arc::clone)
    }

    /// Returns whether an endpoint that has had sessions has this address.
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        self.0.load().peers.contains_key(&canonical(address))
    }
}

/// Returns whether sessions have this peer, apart from the map.
fn is_used(peer: &Arc<Peer>) -> bool {
    Arc::strong_count(peer) > 1
}

/// Returns an address in the form in which equal ones are equal. A listener for IPv6 sees IPv4 addresses as mapped ones, and
/// those of the local network with a zone.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_in_all_its_forms() {
        let (peers, now) = (Peers::default(), Instant::now());
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        peers.get(at("10.0.0.7:53"), now);
        peers.get(at("[fe80::1%3]:53"), now);
        for known in ["10.0.0.7:53", "[::ffff:10.0.0.7]:53", "[fe80::1]:53", "[fe80::1%2]:53"] {
            assert!(peers.contains(at(known)), "{known}");
        }
        for other in ["10.0.0.7:54", "10.0.0.8:53", "[fe80::2]:53"] {
            assert!(!peers.contains(at(other)), "{other}");
        }
    }

    #[test]
    fn a_peer_is_silent_if_it_has_sessions_and_no_reply_for_the_time() {
        let (peers, start) = (Peers::default(), Instant::now());
        let (address, time) = (SocketAddr::from(([10, 0, 0, 7], 53)), Duration::from_secs(15));
        let peer = peers.get(address, start);
        assert!(!peer.is_silent_for(time, start + time / 2));
        assert!(peer.is_silent_for(time, start + time));
        peer.on_reply(start + time);
        assert!(!peer.is_silent_for(time, start + time + time / 2));
        // A second session changes nothing.
        drop(peers.get(address, start + time + time / 2));
        assert!(peer.is_silent_for(time, start + 2 * time));
        // Without a session, it was not asked.
        drop(peer);
        let peer = peers.get(address, start + 9 * time);
        assert!(!peer.is_silent_for(time, start + 9 * time) && peer.is_silent_for(time, start + 10 * time));
    }

    #[test]
    fn addresses_without_sessions_are_removed_in_time() {
        let (peers, now) = (Peers::default(), Instant::now());
        let at = |port| SocketAddr::from(([10, 0, 0, 7], port));
        let used = peers.get(at(1), now);
        for port in 2..=1000 {
            peers.get(at(port), now);
        }
        assert!(peers.contains(at(1)) && peers.0.load().peers.len() <= MANY);
        drop(used);
    }
}
