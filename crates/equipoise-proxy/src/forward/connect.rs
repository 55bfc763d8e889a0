use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use equipoise_core::{AnyTarget, Lease};
use equipoise_http::Resolve;

use super::{
    attempt::Attempt,
    destination::Host,
    dial::{Stream, race},
    error::ForwardError,
    rules::Rules,
    upstream::{Opened, Upstreams},
};
use crate::{check::Refusal, error::ProxyError, timing::within};

/// The maximum number of addresses of one name that are tried. A resolver may return thousands of them.
const MAX_ADDRESSES: usize = 16;

/// A connection to a destination.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    /// The address of the destination. `None` if an upstream proxy has resolved its name.
    pub(super) remote: Option<SocketAddr>,
    /// The lease of the upstream proxy, if there is one.
    pub(super) lease: Option<Lease<AnyTarget>>,
}

/// Connects to destinations that the rules allow.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) rules: ArcSwap<Rules>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) timeout: Duration,
    /// The addresses at which this proxy listens.
    pub(super) own: Vec<SocketAddr>,
    pub(super) upstreams: Option<Upstreams>,
}

impl Connector {
    /// Connects. The name is resolved once, and the connection goes to one of the addresses that the rules allow.
    pub(super) async fn connect(&self, attempt: &Attempt) -> Result<Connected, ProxyError> {
        let timeout = self.timeout;
        let connected = within(timeout, async {
            match &self.upstreams {
                Some(upstreams) if upstreams.resolves_names() => {
                    self.check_unresolved(attempt).await?;
                    let Opened { stream, lease } =
                        upstreams.tunnel(attempt, &attempt.destination, &*self.resolver).await?;
                    Ok(Connected { stream, remote: None, lease: Some(lease) })
                }
                Some(upstreams) => {
                    let addresses = self.allowed(attempt).await?;
                    let (Opened { stream, lease }, remote) =
                        upstreams.tunnel_to(attempt, &addresses, &*self.resolver).await?;
                    Ok(Connected { stream, remote: Some(remote), lease: Some(lease) })
                }
                None => {
                    let addresses = self.allowed(attempt).await?;
                    let none = || ForwardError::Resolve { destination: attempt.destination.clone(), source: None };
                    let (stream, remote) = race(&addresses).await.unwrap_or_else(|| Err(none()))?;
                    Ok(Connected { stream: Box::new(stream), remote: Some(remote), lease: None })
                }
            }
        });
        connected.await.unwrap_or_else(|| Err(ForwardError::ConnectTimeout { timeout }.into()))
    }

    /// Checks a destination whose name an upstream proxy resolves.
    pub(super) async fn check_unresolved(&self, attempt: &Attempt) -> Result<(), ProxyError> {
        match attempt.destination.host() {
            Host::Address(_) => self.allowed(attempt).await.map(drop),
            Host::Name(_) => {
                let decided = self.rules.load().decide_unresolved(&attempt.access());
                let denied = |by| ForwardError::Denied { destination: attempt.destination.clone(), by };
                decided.map_err(|by| denied(by).into())
            }
        }
    }

    /// Returns whether the rules allow this client to use a connection to this address of its destination.
    pub(super) fn allows(&self, attempt: &Attempt, remote: SocketAddr) -> bool {
        self.rules.load().decide(&attempt.access(), remote.ip()).is_ok()
    }

    /// Returns the addresses of the destination that the rules allow. Addresses that they do not allow are left out: the
    /// connection cannot go there, and a name may have an internal address beside a public one.
    async fn allowed(&self, attempt: &Attempt) -> Result<Vec<SocketAddr>, ProxyError> {
        let destination = &attempt.destination;
        let resolved = |source| ForwardError::Resolve { destination: destination.clone(), source };
        let found: Vec<IpAddr> = match destination.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let found = self.resolver.resolve(name, destination.port()).await;
                found.map_err(|error| resolved(Some(error)))?.iter().map(SocketAddr::ip).collect()
            }
        };
        let rules = self.rules.load_full();
        let (mut allowed, mut denied) = (Vec::new(), None);
        for address in found {
            match rules.decide(&attempt.access(), address) {
                Ok(()) => allowed.push(SocketAddr::new(address, destination.port())),
                Err(by) => {
                    tracing::debug!(%destination, %address, %by, "an address is denied");
                    denied.get_or_insert(by);
                }
            }
        }
        if allowed.is_empty() {
            return Err(match denied {
                Some(by) => ForwardError::Denied { destination: destination.clone(), by },
                None => resolved(None),
            }
            .into());
        }
        let accepted = attempt.info.accepted_addr();
        let accepted_ip = accepted.map(|address| address.ip().to_canonical());
        // A socket for both families has mapped addresses. One for all addresses has at least that of this connection.
        let same = |own: &SocketAddr, address: &SocketAddr| {
            let (own_ip, ip) = (own.ip().to_canonical(), address.ip().to_canonical());
            own.port() == address.port()
                && (own_ip == ip || own_ip.is_unspecified() && (accepted_ip == Some(ip) || ip.is_loopback()))
        };
        // A proxy in front, which tells its own address by the PROXY protocol, leads to this one.
        let known = [accepted, attempt.info.local_addr()];
        let own = |address: &SocketAddr| known.iter().flatten().chain(&self.own).any(|own| same(own, address));
        allowed.retain(|address| !own(address));
        allowed.truncate(MAX_ADDRESSES);
        if allowed.is_empty() { Err(Refusal::Loop.into()) } else { Ok(allowed) }
    }
}
