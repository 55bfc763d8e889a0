//! Where sessions are placed, and what is reported of endpoints.

use std::{
    io, mem,
    net::SocketAddr,
    slice,
    sync::{Arc, Weak},
    time::Duration,
};

use equipoise_core::{Binding, EndpointId, Failure, PickError, PickRequest, Verdict};
use quinn_udp::UdpSocketState;
use tokio::time::Instant;

use super::{
    address::{Known, Names},
    end::UdpEnd,
    peers::canonical,
    session::{Connected, Departure, Endpoint, Picked, Session},
    settings::UdpSettings,
    shared::{Endpoints, Shared},
    socket::is_unreachable,
    stats::UdpStats,
};

/// Picks endpoints for sessions, and connects them.
pub(super) struct Placer {
    pub(super) shared: Arc<Shared>,
    /// The pool for later sessions.
    pub(super) pool: Arc<dyn Endpoints>,
    pub(super) names: Names,
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
    /// The client has the address of the endpoint, so the two would answer each other.
    OwnAddress,
}

impl Placer {
    /// Picks an endpoint for a session that has none, and connects to it.
    pub(super) fn place(&mut self, session: &mut Session, moment: &mut Moment<'_>) -> Placed {
        while session.tried.len() < moment.settings.max_attempts {
            let picked = match self.pick(session, moment.settings) {
                Ok(picked) => picked,
                Err(error) => {
                    if session.last_pick.is_none() {
                        self.pool.count_unserved(Some(&error));
                    }
                    tracing::debug!(client = %session.client, %error, "no endpoint for a UDP session");
                    return Placed::Nowhere;
                }
            };
            self.count(session, picked.lease.endpoint().id());
            match self.connect(session, picked, moment) {
                Placed::Nowhere => {}
                placed => return placed,
            }
        }
        Placed::Nowhere
    }

    /// Counts a pick, unless it is the first one of the session in this pool: a pool that has replaced another one has not
    /// counted the session yet.
    fn count(&self, session: &mut Session, id: &EndpointId) {
        let pool = Arc::downgrade(&self.pool);
        let last = session.last_pick.replace((Weak::clone(&pool), id.clone()));
        if let Some((_, last)) = last.filter(|(last, _)| last.ptr_eq(&pool)) {
            self.pool.count_retry();
            if last != *id {
                self.pool.count_failover();
            }
        }
    }

    fn pick(&self, session: &Session, settings: &UdpSettings) -> Result<Picked, PickError> {
        let identity = session.identity.as_ref();
        let source;
        let key = match identity.client {
            Some((client, _)) => {
                source = settings.source_prefix.key(client.ip());
                &*source
            }
            None => identity.key,
        };
        let lease = self.pool.pick(&PickRequest::new().key(key).exclude(&session.tried))?;
        Ok(Picked { lease, pool: Arc::clone(&self.pool) })
    }

    /// Goes on with a session whose endpoint had to be resolved.
    pub(super) fn resume(&mut self, session: &mut Session, moment: &mut Moment<'_>) -> Placed {
        match mem::replace(&mut session.endpoint, Endpoint::None) {
            Endpoint::Resolving(picked) => match self.connect(session, picked, moment) {
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
    fn connect(&mut self, session: &mut Session, picked: Picked, moment: &mut Moment<'_>) -> Placed {
        let known = self.names.find(picked.lease.endpoint().address(), moment.now, &moment.settings.resolver);
        match known {
            Known::At(address) => self.connect_to(session, picked, slice::from_ref(&address), moment),
            Known::Named(all) => self.connect_to(session, picked, &all, moment),
            Known::Later => {
                session.endpoint = Endpoint::Resolving(picked);
                Placed::Resolving
            }
            Known::Nowhere => self.connect_to(session, picked, &[], moment),
        }
    }

    fn connect_to(
        &mut self,
        session: &mut Session,
        picked: Picked,
        addresses: &[SocketAddr],
        moment: &mut Moment<'_>,
    ) -> Placed {
        let (mut picked, mut verdict) = (picked, Verdict::Failure(Failure::Connect));
        for address in addresses {
            // Also with a made-up source: another endpoint might answer it, too.
            if canonical(*address) == canonical(session.client) {
                picked.lease.finish(Verdict::Neutral);
                return Placed::OwnAddress;
            }
            if self.shared.is_own(*address, session.asked) {
                tracing::warn!(%address, "the address of an endpoint is that of a UDP listener of the same proxy");
                continue;
            }
            let (peer, wakers) = (self.shared.peers.get(*address, moment.now), [&session.readable, &session.ending]);
            match Connected::open(
                peer,
                unmapped(*address),
                picked,
                moment.settings.leave_draining,
                moment.state,
                wakers,
            ) {
                // It was drained or removed since it was picked.
                Ok(connected) if connected.departure() != Departure::None => {
                    picked = connected.picked;
                    verdict = Verdict::Neutral;
                    break;
                }
                Ok(connected) => {
                    session.endpoint = Endpoint::Connected(connected);
                    return Placed::Connected;
                }
                Err((unused, error)) if !is_of_endpoint(&error) => {
                    tracing::debug!(%error, "no socket for a UDP session");
                    unused.lease.finish(Verdict::Neutral);
                    return Placed::NoSocket;
                }
                Err((unused, error)) => {
                    let endpoint = unused.lease.endpoint().id();
                    tracing::debug!(%endpoint, %address, %error, "an endpoint is unreachable");
                    picked = unused;
                }
            }
        }
        moment.counted.unreachable += u64::from(verdict.is_failure());
        session.tried.push(picked.lease.endpoint().id().clone());
        picked.lease.finish(verdict);
        Placed::Nowhere
    }

    /// Gives up the endpoint of a session, which has failed, and notes that the session has tried it.
    pub(super) fn judge(session: &mut Session, connected: Connected, failure: Failure) {
        let Connected { picked: Picked { lease, pool }, has_replied, has_failed, .. } = connected;
        let id = lease.endpoint().id().clone();
        tracing::debug!(endpoint = %id, client = %session.client, failure = failure.as_str(), "a UDP session has failed");
        session.tried.push(id.clone());
        if !has_replied {
            lease.finish(Verdict::Failure(failure));
            return;
        }
        drop(lease);
        if !has_failed {
            blame(&*pool, &id, failure);
        }
    }

    /// Reports that the endpoint of a session has failed after replies, and leaves it to the session.
    pub(super) fn suspect(connected: &mut Connected, failure: Failure) {
        if !mem::replace(&mut connected.has_failed, true) {
            let Picked { lease, pool } = &connected.picked;
            blame(&**pool, lease.endpoint().id(), failure);
        }
    }

    /// Ends the use of a session's endpoint. If it has not replied, and the session ends because of time, the endpoint has
    /// failed. It has not failed if it has replied to other sessions meanwhile: anyone can send datagrams to which no
    /// endpoint replies.
    pub(super) fn leave(session: &mut Session, end: UdpEnd, settings: &UdpSettings, now: Instant) {
        let judges = settings.reply_timeout != Duration::MAX;
        // No session waits for longer.
        let timeout = settings.reply_timeout.min(settings.idle_timeout);
        let (lease, failure) = match mem::replace(&mut session.endpoint, Endpoint::None) {
            Endpoint::None => return,
            Endpoint::Resolving(picked) => {
                let has_failed = matches!(end, UdpEnd::Idle | UdpEnd::Silent);
                (picked.lease, has_failed.then_some(Failure::Connect))
            }
            Endpoint::Connected(Connected { picked, peer, .. }) => {
                let is_silence = matches!(end, UdpEnd::Idle | UdpEnd::Silent | UdpEnd::Displaced);
                // A reply to another session counts if it came after the datagram of this one.
                let time = session.waiting_since.map(|since| now.saturating_duration_since(since).max(timeout));
                let has_failed = is_silence && time.is_some_and(|time| peer.is_silent_for(time, now));
                (picked.lease, has_failed.then_some(Failure::Timeout))
            }
        };
        lease.finish(failure.filter(|_| judges).map_or(Verdict::Neutral, Verdict::Failure));
    }
}

/// Reports a failure of an endpoint whose lease has had its verdict since the first reply. It counts as a further attempt of
/// the session, and not as a request.
fn blame(pool: &dyn Endpoints, id: &EndpointId, failure: Failure) {
    let binding = Binding::to(id.clone()).strict();
    if let Ok(lease) = pool.pick(&PickRequest::new().bound(&binding)) {
        // The pool has counted the session with its first lease.
        pool.count_retry();
        lease.finish(Verdict::Failure(failure));
    }
}

/// Returns an IPv4 address that is written as one of IPv6 in its own form. So its socket is one for IPv4, and has the errors
/// of such sockets.
fn unmapped(address: SocketAddr) -> SocketAddr {
    if address.ip().to_canonical().is_ipv4() { canonical(address) } else { address }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_gets_a_socket_for_ipv4() {
        for (address, connected) in [
            ("[::ffff:10.0.0.7]:53", "10.0.0.7:53"),
            ("10.0.0.7:53", "10.0.0.7:53"),
            ("[fe80::1%3]:53", "[fe80::1%3]:53"),
        ] {
            assert_eq!(unmapped(address.parse().unwrap()).to_string(), connected);
        }
    }
}
