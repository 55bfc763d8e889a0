use std::{
    io,
    net::{IpAddr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use futures::future::BoxFuture;
use socket2::{Domain, Protocol, Socket, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};

use super::{Answer, InvalidProbe, Probe, ProbeError, Target, resolve::resolve};

/// An ICMP echo, over IPv4 or IPv6 as the endpoint's address is.
///
/// ```no_run
/// use equipoise_health::probe::Ping;
///
/// let ping = Ping::new()?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// It uses datagram sockets, which need no privilege where `net.ipv4.ping_group_range` allows them, and raw ones
/// (`CAP_NET_RAW`) otherwise. One echo is sent for each look: a lost packet is a failed probe, and it takes several of those
/// to be out. A name is resolved and its first address used; a port is not needed.
#[derive(Debug)]
pub struct Ping {
    /// Distinguishes the looks of this process where the system does not.
    count: AtomicU32,
}

impl Ping {
    /// A ping, if the system allows any.
    ///
    /// # Errors
    ///
    /// When it allows neither kind of socket, for neither family.
    pub fn new() -> Result<Self, InvalidProbe> {
        match may(Domain::IPV4, Protocol::ICMPV4).or_else(|_| may(Domain::IPV6, Protocol::ICMPV6)) {
            Ok(()) => Ok(Self { count: AtomicU32::new(process::id()) }),
            Err(error) => Err(InvalidProbe {
                setting: "probe",
                value: "ping".to_owned(),
                wanted: format!("{}; use another probe, or {HOW_TO}", forbidden(&error)).into(),
            }),
        }
    }

    async fn look(&self, target: &Target) -> Result<Answer, ProbeError> {
        let address = address(target).await?;
        let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
        // A client, and thus a socket, for each look: it belongs to no runtime longer than that, and all of it goes with
        // the look.
        let client = Client::new(&Config::builder().kind(kind).build()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ProbeError::Forbidden(format!("{}; {HOW_TO}", forbidden(&error))),
            _ => ProbeError::Broken(error.to_string()),
        })?;
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let (identifier, sequence) = (PingIdentifier((count >> 16) as u16 ^ count as u16), PingSequence(count as u16));
        let mut pinger = client.pinger(address.ip(), identifier).await;
        if let SocketAddr::V6(address) = address {
            pinger.scope_id(address.scope_id());
        }
        pinger.timeout(Duration::MAX);
        match pinger.ping(sequence, b"equipoise").await {
            Ok((packet, _)) => judge(&packet),
            Err(SurgeError::IOError(error)) => Err(ProbeError::Connect(error.to_string())),
            Err(error) => Err(ProbeError::Broken(error.to_string())),
        }
    }
}

const HOW_TO: &str =
    "allow datagram sockets (sysctl net.ipv4.ping_group_range, for IPv6 as well) or raw ones (CAP_NET_RAW)";

fn forbidden(error: &io::Error) -> String {
    format!("the system lets this process open neither datagram nor raw sockets for ICMP ({error})")
}

fn may(domain: Domain, protocol: Protocol) -> io::Result<()> {
    Socket::new(domain, Type::DGRAM, Some(protocol))
        .or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)))
        .map(drop)
}

/// The first address of the target. The port is of no use, but the lookup wants one.
async fn address(target: &Target) -> Result<SocketAddr, ProbeError> {
    let host = target.parsed()?.host();
    resolve(host, 0).await?.into_iter().next().ok_or_else(|| ProbeError::Connect(format!("{host} has no address")))
}

/// Routers answer too, with errors about our echo.
fn judge(packet: &IcmpPacket) -> Result<Answer, ProbeError> {
    const ECHO_REPLY: u8 = 0;
    const ECHO_REPLY_V6: u8 = 129;
    let (kind, code, from): (_, _, IpAddr) = match packet {
        IcmpPacket::V4(v4) if v4.get_icmp_type().0 == ECHO_REPLY => return Ok(Answer::Passed),
        IcmpPacket::V6(v6) if v6.get_icmpv6_type().0 == ECHO_REPLY_V6 => return Ok(Answer::Passed),
        IcmpPacket::V4(v4) => (v4.get_icmp_type().0, v4.get_icmp_code().0, v4.get_source().into()),
        IcmpPacket::V6(v6) => (v6.get_icmpv6_type().0, v6.get_icmpv6_code().0, v6.get_source().into()),
    };
    Err(ProbeError::Unexpected(format!("ICMP type {kind} code {code} from {from}")))
}

impl Probe for Ping {
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        Box::pin(self.look(target))
    }
}
