//! Probes of active health checks. A probe examines one endpoint once.
//!
//! A probe does only the I/O. The [schedule](crate::Schedule) decides when it runs, and the [health state
//! machine](crate::machine::Machine) decides what its outcome means for the endpoint.
//!
//! | probe | feature | passes if |
//! | --- | --- | --- |
//! | [`TcpProbe`] | `tokio` | the connection is accepted, and the expected bytes arrive (if any are set) |
//! | [`TlsProbe`] | `tls` | the TLS handshake succeeds |
//! | [`HttpProbe`] | `http`; `tls` for https, `regex` for regular expressions | the status is as expected, and the body matches the pattern (if one is set) |
//! | [`GrpcProbe`] | `grpc`; `tls` for TLS | the service `grpc.health.v1.Health` answers `SERVING` |
//! | [`PingProbe`] | `ping` | an ICMP echo reply arrives |
//! | [`AgentProbe`] | `tokio` | (never fails: it reports the state that an agent sends) |
//! | [`probe_fn`] | | an async closure returns `Ok` |
//! | [`probe_service`] | `tower` | a tower service returns `Ok` |
//!
//! # Timeouts
//!
//! A probe has no timeout of its own. The caller drops the future of a probe when the
//! [timeout](crate::Schedule::timeout) is over, and catches panics of the future. Every probe in this module may be
//! dropped at any time and leaves no task behind.
//!
//! # Names and addresses
//!
//! For each probe, the operating system resolves the host name again, on a blocking thread. A lookup that hangs delays
//! only its own probe, but the lookup occupies the thread until the operating system gives up. At most 32 lookups of
//! the process run at the same time.
//!
//! If a name has several addresses, the probe uses the first one that accepts a connection. It tries the next address
//! as soon as an attempt fails, or after 250 ms (RFC 8305). IPv4 and IPv6 addresses alternate. For such a name, use a
//! [timeout](crate::Schedule::timeout) of at least one second. [`PingProbe`] uses only the first address.

#[cfg(feature = "tokio")]
mod agent;
#[cfg(feature = "tokio")]
mod connect;
mod custom;
mod error;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "http", feature = "grpc"))]
mod open;
#[cfg(feature = "tokio")]
mod pattern;
#[cfg(feature = "ping")]
mod ping;
#[cfg(feature = "tokio")]
mod resolve;
#[cfg(feature = "tower")]
mod service;
mod target;
#[cfg(feature = "tokio")]
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod traits;

#[cfg(feature = "tokio")]
pub use self::agent::AgentProbe;
#[cfg(feature = "grpc")]
pub use self::grpc::GrpcProbe;
#[cfg(feature = "http")]
pub use self::http::{HttpProbe, HttpVersion};
#[cfg(feature = "ping")]
pub use self::ping::PingProbe;
#[cfg(feature = "tower")]
pub use self::service::{ProbeService, probe_service};
#[cfg(feature = "tokio")]
pub use self::tcp::TcpProbe;
#[cfg(feature = "tls")]
pub use self::tls::TlsProbe;
pub use self::{
    custom::{ProbeFn, probe_fn},
    error::{InvalidProbe, ProbeError},
    target::Target,
    traits::{OnTimeout, Probe, ProbeFuture, ProbeOutcome},
};
