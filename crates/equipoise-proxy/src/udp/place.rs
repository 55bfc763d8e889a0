//! Where sessions are placed, and what is reported of endpoints.

use std::{collections::HashMap, io, mem, net::SocketAddr, slice, sync::Arc};

use equipoise_core::{AnyTarget, Binding, EndpointId, Failure, Lease, PickError, PickRequest, Verdict};
use quinn_udp::UdpSocketState;
use tokio::time::Instant;

use super::{
    address::{Known, Names},
    session::{Connected, Endpoint, Peer, Session},
    settings::UdpSettings,
    shared::Shared,
    socket::is_unreachable,
    stats::UdpStats,
};

/// Picks endpoints for sessions, and connects them.
pub(super) struct Placer {
    pub(super) shared: Arc<Shared>,
    pub(super) names: Names,
    pub(super) peers: Peers,
}

/// What a placement needs of the moment.
pub(super) struct Moment<'a> {
    pub(super) state: &'a UdpSocketState,
    pub(super) now: Instant,
    pub(super) settings: &'a UdpSettings,
    pub(super) counted: &'a mut UdpStats,
}

/// Where a session was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    Connected,
    Resolving,
    /// There is no endpoint, or none is reachable.
    Nowhere,
    /// No socket can be opened.
    NoSocket,
}

impl Placer {
    /// Picks an endpoint for a session that has none, and connects to it.
    pub(super) fn place(&mut self, session: &mut Session, moment: &mut Moment<'_>) -> Placed {
        while session.tried.len() < moment.settings.max_attempts {
            let lease = match self.pick(session, moment.settings) {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(client = %session.client, %error, "no endpoint for a UDP session");
                    return Placed::Nowhere;
                }
            };
            match self.connect(session, lease, moment) {
                Placed::Nowhere => {}
                placed => return placed,
            }
        }
        Placed::Nowhere
    }

    fn pick(&self, session: &Session, settings: &UdpSettings) -> Result<Lease<AnyTarget>, PickError> {
        let identity = session.identity.as_ref();
        let source;
        let key = match identity.client {
            Some((client, _)) => {
                source = settings.source_prefix.key(client.ip());
                &*source
            }
            None => identity.key,
        };
        self.shared.pool().pick(&PickRequest::new().key(key).exclude(&session.tried))
    }

    /// Goes on with a session whose endpoint had to be resolved.
    pub(super) fn resume(&mut self, session: &mut Session, moment: &mut Moment<'_>) -> Placed {
        match mem::replace(&mut session.endpoint, Endpoint::None) {
            Endpoint::Resolving(lease) => match self.connect(session, lease, moment) {
                Placed::Nowhere => self.place(session, moment),
                placed => placed,
            },
            other => {
                session.endpoint = other;
                Placed::Connected
            }
        }
    }

    /// Connects a session to the endpoint of a lease. If it cannot be reached, the session has tried it.
    fn connect(&mut self, session: &mut Session, lease: Lease<AnyTarget>, moment: &mut Moment<'_>) -> Placed {
        let known = self.names.find(lease.endpoint().address(), moment.now, &moment.settings.resolver);
        match known {
            Known::At(address) => self.connect_to(session, lease, slice::from_ref(&address), moment),
            Known::Named(all) => self.connect_to(session, lease, &all, moment),
            Known::Later => {
                session.endpoint = Endpoint::Resolving(lease);
                Placed::Resolving
            }
            Known::Nowhere => self.connect_to(session, lease, &[], moment),
        }
    }

    fn connect_to(
        &mut self,
        session: &mut Session,
        lease: Lease<AnyTarget>,
        addresses: &[SocketAddr],
        moment: &mut Moment<'_>,
    ) -> Placed {
        let (mut lease, mut verdict) = (lease, Verdict::Failure(Failure::Connect));
        for address in addresses {
            if self.shared.is_own(*address, session.asked) {
                tracing::warn!(%address, "the address of an endpoint is that of a UDP listener of the same proxy");
                continue;
            }
            let (peer, wakers) = (self.peers.get(*address), [&session.readable, &session.ending]);
            match Connected::open(peer, lease, moment.settings.leave_draining, moment.state, wakers) {
                // It was drained or removed since it was picked.
                Ok(connected) if connected.is_closing() => {
                    lease = connected.lease;
                    verdict = Verdict::Neutral;
                    break;
                }
                Ok(connected) => {
                    session.endpoint = Endpoint::Connected(connected);
                    return Placed::Connected;
                }
                Err((unused, error)) if !is_of_endpoint(&error) => {
                    tracing::debug!(%error, "no socket for a UDP session");
                    unused.finish(Verdict::Neutral);
                    return Placed::NoSocket;
                }
                Err((unused, error)) => {
                    tracing::debug!(endpoint = %unused.endpoint().id(), %address, %error, "an endpoint is unreachable");
                    lease = unused;
                }
            }
        }
        moment.counted.unreachable += u64::from(verdict.is_failure());
        session.tried.push(lease.endpoint().id().clone());
        lease.finish(verdict);
        Placed::Nowhere
    }

    /// Reports that a connected endpoint has failed, and notes that the session has tried it.
    pub(super) fn judge(&self, session: &mut Session, connected: Connected, failure: Failure) {
        let Connected { lease, has_replied, .. } = connected;
        let id = lease.endpoint().id().clone();
        tracing::debug!(endpoint = %id, client = %session.client, failure = failure.as_str(), "a UDP session has failed");
        session.tried.push(id.clone());
        let verdict = Verdict::Failure(failure);
        if !has_replied {
            lease.finish(verdict);
            return;
        }
        // The lease has its verdict since the first reply. What has failed now counts as a request of its own.
        drop(lease);
        let binding = Binding::to(id).strict();
        if let Ok(lease) = self.shared.pool().pick(&PickRequest::new().bound(&binding)) {
            lease.finish(verdict);
        }
    }

    /// Ends the use of a session's endpoint. If it has never replied, and `is_silence`, it gets the verdict
    /// [`Failure::Timeout`], unless it has replied to other sessions meanwhile: anyone can send datagrams to which no
    /// endpoint replies.
    pub(super) fn leave(&self, session: &mut Session, is_silence: bool) {
        match mem::replace(&mut session.endpoint, Endpoint::None) {
            Endpoint::None => {}
            Endpoint::Resolving(lease) => match is_silence {
                true => lease.finish(Verdict::Failure(Failure::Connect)),
                false => lease.finish(Verdict::Neutral),
            },
            Endpoint::Connected(Connected { lease, peer, .. }) => {
                let is_alive = session.waiting_since.is_none_or(|since| peer.has_replied_since(since));
                match is_silence && !is_alive {
                    true => lease.finish(Verdict::Failure(Failure::Timeout)),
                    false => lease.finish(Verdict::Neutral),
                }
            }
        }
    }

    pub(super) fn is_unhealthy(&self, id: &EndpointId) -> bool {
        self.shared.pool().is_unhealthy(id)
    }
}

/// The addresses of endpoints that have sessions.
#[derive(Default)]
pub(super) struct Peers {
    peers: HashMap<SocketAddr, Arc<Peer>>,
    /// The number of addresses at which unused ones are removed.
    full: usize,
}

impl Peers {
    fn get(&mut self, address: SocketAddr) -> Arc<Peer> {
        if self.peers.len() >= self.full {
            self.peers.retain(|_, peer| Arc::strong_count(peer) > 1);
            self.full = (2 * self.peers.len()).max(64);
        }
        Arc::clone(self.peers.entry(address).or_insert_with(|| Arc::new(Peer::new(address))))
    }

    /// Returns whether an endpoint has this address.
    pub(super) fn contains(&self, address: SocketAddr) -> bool {
        self.peers.contains_key(&address)
    }
}

/// Returns whether the error of opening a socket says that the endpoint cannot be reached. Other errors, such as too many
/// open files, are those of this machine.
fn is_of_endpoint(error: &io::Error) -> bool {
    is_unreachable(error)
        || matches!(
            error.kind(),
            io::ErrorKind::AddrNotAvailable
                | io::ErrorKind::InvalidInput
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::Unsupported
        )
        // An IPv6 address on a system without IPv6.
        || error.raw_os_error() == Some(NO_FAMILY)
}

/// The number of `EAFNOSUPPORT`. It has no [`io::ErrorKind`].
const NO_FAMILY: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };
