//! A proxy for UDP: sessions of clients, each placed on an endpoint of a pool.
//!
//! A [`UdpProxy`] serves one or more [`UdpListener`]s. The first datagram of a client opens a session: the pool's strategy
//! picks an endpoint, and the session gets a socket that is connected to it. Further datagrams of the client go there, and
//! replies go back to the client, from the address that it has sent to.
//!
//! ```
//! use std::time::Duration;
//! use equipoise_core::{EndpointSpec, Pool, RoundRobin};
//! use equipoise_proxy::udp::{UdpListener, UdpProxy, UdpSettings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(RoundRobin::new());
//! pool.update(["10.0.0.7:53", "10.0.0.8:53"].map(EndpointSpec::new), |_| ())?;
//! // Each query of DNS has one reply, so the next one may go to another server.
//! let settings = UdpSettings::new().max_replies(1).reply_timeout(Duration::from_secs(5));
//! let proxy = UdpProxy::with_settings(pool, settings);
//! let serving = tokio::spawn(proxy.serve(UdpListener::bind("127.0.0.1:0".parse()?)?));
//! // When the process is asked to end:
//! proxy.shutdown(Duration::from_secs(1)).await;
//! serving.await??;
//! # Ok(())
//! # }
//! ```
//!
//! # Sessions
//!
//! A session belongs to the address and port of a client, or to a key in its datagrams: see [`SessionKey`]. It holds a lease
//! of the pool until it ends. So the [in-flight limit](equipoise_core::EndpointSpec::max_in_flight) of an endpoint limits
//! its sessions, and strategies that compare requests in flight compare sessions. A session ends:
//!
//! - when it was [idle](UdpSettings::idle_timeout) for a time;
//! - when all its datagrams have had their [replies](UdpSettings::max_replies), if their number is known;
//! - when its endpoint is in maintenance or removed, or, [if set](UdpSettings::leave_draining), draining;
//! - when its endpoint is unreachable, or does not [reply](UdpSettings::reply_timeout);
//! - when another one takes its place, because there are [too many](UdpSettings::max_sessions).
//!
//! The next datagram then opens another session. A hashing strategy gets the client's address without the port as the key
//! ([`source_prefix`](UdpSettings::source_prefix)). Several balancers with the same endpoints place a client alike.
//!
//! # Verdicts
//!
//! | event | verdict |
//! | --- | --- |
//! | first reply of a session | [`Success`](equipoise_core::Verdict::Success) |
//! | an ICMP message says that a datagram did not reach the endpoint, or the endpoint has no route or no address | [`Connect`](equipoise_core::Failure::Connect) |
//! | no reply in time, neither to this session nor to any other one of the proxy | [`Timeout`](equipoise_core::Failure::Timeout) |
//! | other ends of a session without a reply | [`Neutral`](equipoise_core::Verdict::Neutral) |
//!
//! A session that has had a reply has its verdict. If its endpoint is unreachable later, this counts as another request, of
//! which the endpoint gets the failure, if it can be picked. Further errors count after the next reply.
//!
//! [Bytes](equipoise_core::EndpointStatus::bytes_sent) of datagrams are counted for each endpoint.
//!
//! # Datagrams
//!
//! Datagrams of any size are relayed, empty ones too; the system splits those that are larger than a packet (fragmentation).
//! The bits for congestion (ECN) are not passed on. Not relayed are:
//!
//! - datagrams with source port 0, because they cannot be answered;
//! - datagrams whose source is a listener of the same proxy, or the address of an endpoint that has had sessions or is
//!   picked for the datagram. Such a source is usually made up, so that proxy and endpoint would answer each other without
//!   end. The address of an endpoint that is the proxy itself is taken for unreachable. Loops over another proxy are not
//!   recognised;
//! - what the system does not take, for example because a buffer is full.
//!
//! Nothing is queued, and no sender is told of a lost datagram, as in UDP itself. [`UdpDropped`] counts them by reason.
//!
//! Anyone can send datagrams with a made-up source. Their replies go to that source, so a service whose replies are much
//! larger than requests should limit them. To the endpoints, all clients have the address of the proxy, unless it tells them
//! that of the client with the PROXY protocol (`UdpSettings::proxy_protocol`, feature `proxy-protocol`). Otherwise, limits
//! by client address belong in front of it, or in it:
//! [`max_sessions_per_source`](UdpSettings::max_sessions_per_source).
//!
//! # Cost
//!
//! One task serves a listener with all its sessions. Datagrams of clients are received with one system call for up to 32,
//! and replies with one for each session. Each is sent with one system call. On Linux, datagrams of equal size that arrive
//! together are received and sent on as one message (GRO and GSO), for a session with many of them. With several listeners
//! on one port ([`UdpListener::bind_shared`]), a proxy uses several cores.

mod address;
mod end;
mod key;
mod limits;
mod list;
mod listener;
mod peers;
mod place;
mod proxy;
mod ready;
mod session;
mod settings;
mod shared;
mod socket;
mod stats;
mod table;
mod worker;

pub use self::{
    end::{UdpEnd, UdpSession},
    key::SessionKey,
    listener::UdpListener,
    proxy::UdpProxy,
    settings::UdpSettings,
    stats::{UdpDropped, UdpStats},
};
