//! Probes: one look at one endpoint.
//!
//! A probe is I/O and nothing else: when to look, how often, and what follows from the answer is the machine's business.
//! Time-outs are the driver's: whoever runs a probe drops it when its time is over, and catches its panics. So no probe
//! here has a time-out of its own, and each may be dropped at any moment: nothing of it goes on.
//!
//! | probe | feature | passes when |
//! | --- | --- | --- |
//! | [`Tcp`] | `tokio` | a connection comes about, and the expected bytes if any are |
//! | [`Tls`] | `tls` | the handshake succeeds |
//! | [`Http`] | `http`; `tls` for https, `regex` for regular expressions | the status, and the body if one is asked for, are as expected |
//! | [`Grpc`] | `grpc`; `tls` | `grpc.health.v1` says `SERVING` |
//! | [`Ping`] | `ping` | an ICMP echo comes back |
//! | [`Agent`] | `tokio` | (says what the agent says) |
//! | [`probe_fn`] | | the user's closure says so |
//! | [`probe_service`] | `tower` | the user's service says so |
//!
//! Names are resolved anew for each look, by the system's resolver on a blocking thread. A lookup that hangs costs the look,
//! which the driver ends, and holds that thread for as long as the system lets it; there are never more than 32 at a time in
//! a process. Of several addresses the first that accepts is taken: the next one is tried as soon as one has failed, or
//! after 250 ms (RFC 8305), with the families taking turns. Give a check of a name with several addresses a
//! [timeout](crate::Schedule::timeout) of a second or more. A ping uses the first address only.

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

use futures::future::BoxFuture;

use crate::agent::AgentReply;

#[cfg(feature = "tokio")]
pub use self::agent::Agent;
#[cfg(feature = "grpc")]
pub use self::grpc::Grpc;
#[cfg(feature = "http")]
pub use self::http::{Http, HttpVersion};
#[cfg(feature = "ping")]
pub use self::ping::Ping;
#[cfg(feature = "tower")]
pub use self::service::{ProbeService, probe_service};
#[cfg(feature = "tokio")]
pub use self::tcp::Tcp;
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::{
    custom::{ProbeFn, probe_fn},
    error::{InvalidProbe, ProbeError},
    target::Target,
};

/// One look at an endpoint.
pub trait Probe: Send + Sync + 'static {
    /// Looks. `Ok` says what the endpoint answered; an error is a failed probe, with the reason.
    ///
    /// Must not block its thread, and must be safe to drop at any time.
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>>;

    /// What it means that there was no answer in time. The look is dropped then.
    fn silence(&self) -> Silence {
        Silence::Fails
    }
}

/// What the silence of an endpoint means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Silence {
    /// The probe has failed.
    #[default]
    Fails,
    /// Nothing: all stays as it was.
    SaysNothing,
}

/// What a probe that did not fail says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The endpoint looks able to work.
    Passed,
    /// What an agent on it says.
    Agent(AgentReply),
    /// Nothing was learnt of the endpoint, for this reason: all stays as it was. So it is with an agent that cannot be
    /// reached, is too slow or does not end its line.
    Silent(ProbeError),
}

impl From<()> for Answer {
    fn from((): ()) -> Self {
        Answer::Passed
    }
}

impl From<AgentReply> for Answer {
    fn from(reply: AgentReply) -> Self {
        Answer::Agent(reply)
    }
}
