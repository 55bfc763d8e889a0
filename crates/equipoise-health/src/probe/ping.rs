use std::{
    io,
    net::{IpAddr, SocketAddr},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, SurgeError};

use super::{InvalidProbe, Probe, ProbeError, ProbeFuture, ProbeOutcome, Target, resolve::resolve};

/// A probe that sends an ICMP echo request (ping). The endpoint's address decides between IPv4 and IPv6. The probe
/// passes if the echo reply arrives.
///
/// ```no_run
/// use equipoise_health::probe::PingProbe;
///
/// let ping = PingProbe::new()?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// The probe uses a datagram socket, which needs no privilege if the Linux setting `net.ipv4.ping_group_range`
/// permits it. Otherwise the probe uses a raw socket, which needs the capability `CAP_NET_RAW`.
///
/// Each probe sends one echo request, so one lost packet fails the probe. Set [`fall`](crate::Schedule::fall) to at
/// least 2. If the endpoint's address has a host name, only the first IP address of this name is used. The endpoint's
/// address needs no port.
#[derive(Debug)]
pub struct PingProbe {
    /// The number of probes so far. It distinguishes the probes of this process if the operating system does not.
    count: AtomicU32,
}

impl PingProbe {
    /// Creates a probe, if the operating system permits ICMP sockets.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system permits no ICMP socket. The function tries a datagram socket and a raw
    /// socket, for IPv4 and for IPv6.
    pub fn new() -> Result<Self, InvalidProbe> {
        match may(Domain::IPV4, Protocol::ICMPV4).or_else(|_| may(Domain::IPV6, Protocol::ICMPV6)) {
            Ok(()) => Ok(Self { count: AtomicU32::new(process::id()) }),
            Err(error) => Err(InvalidProbe {
                setting: "probe",
                value: "ping".to_owned(),
                expected: format!("{}; use another probe, or {HOW_TO}", forbidden(&error)).into(),
            }),
        }
    }

    async fn check(&self, target: &Target) -> Result<ProbeOutcome, ProbeError> {
        let address = address(target).await?;
        let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
        // Each probe has its own socket, which must not outlive the runtime and must be closed with the probe.
        let client = Client::new(&Config::builder().kind(kind).build()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ProbeError::Forbidden(format!("{}; {HOW_TO}", forbidden(&error))),
            _ => ProbeError::Failed(error.to_string()),
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
            Err(error) => Err(ProbeError::Failed(error.to_string())),
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

/// Returns the first address of the target. Its port is not used.
async fn address(target: &Target) -> Result<SocketAddr, ProbeError> {
    let host = target.parsed()?.host();
    resolve(host, 0).await?.into_iter().next().ok_or_else(|| ProbeError::Connect(format!("{host} has no address")))
}

/// Returns the outcome for an ICMP answer. It may also be an ICMP error of a router about the echo request.
fn judge(packet: &IcmpPacket) -> Result<ProbeOutcome, ProbeError> {
    const ECHO_REPLY: u8 = 0;
    const ECHO_REPLY_V6: u8 = 129;
    let (kind, code, from): (_, _, IpAddr) = match packet {
        IcmpPacket::V4(v4) if v4.get_icmp_type().0 == ECHO_REPLY => return Ok(ProbeOutcome::Passed),
        IcmpPacket::V6(v6) if v6.get_icmpv6_type().0 == ECHO_REPLY_V6 => return Ok(ProbeOutcome::Passed),
        IcmpPacket::V4(v4) => (v4.get_icmp_type().0, v4.get_icmp_code().0, v4.get_source().into()),
        IcmpPacket::V6(v6) => (v6.get_icmpv6_type().0, v6.get_icmpv6_code().0, v6.get_source().into()),
    };
    Err(ProbeError::Unexpected(format!("ICMP type {kind} code {code} from {from}")))
}

impl Probe for PingProbe {
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(self.check(target))
    }
}
