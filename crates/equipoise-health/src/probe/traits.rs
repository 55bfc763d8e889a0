use std::pin::Pin;

use super::{ProbeError, Target};
use crate::agent::AgentReply;

/// The future of one probe, which [`Probe::probe`] returns. An error means that the probe failed.
pub type ProbeFuture<'a> = Pin<Box<dyn Future<Output = Result<ProbeOutcome, ProbeError>> + Send + 'a>>;

/// A kind of probe, such as an HTTP request. A probe examines an endpoint once, to find out whether the endpoint works.
/// [`probe_fn`](super::probe_fn) creates a probe from an async closure.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a probe",
    note = "use `probe_fn` to make a probe of an async closure, or `probe_service` for a tower service"
)]
pub trait Probe: Send + Sync + 'static {
    /// Examines the endpoint `target` once. If the probe fails, the future returns an error with the reason.
    ///
    /// The future must not block its thread. The caller may drop it at any time.
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a>;

    /// Returns whether a probe that exceeds its [timeout](crate::Schedule::timeout) counts as failed or is ignored.
    /// The default implementation returns [`OnTimeout::Fail`].
    fn on_timeout(&self) -> OnTimeout {
        OnTimeout::Fail
    }
}

/// Whether a probe that exceeds its [timeout](crate::Schedule::timeout) counts as failed or is ignored.
///
/// With the feature `serde`, the value is written as `"fail"` or `"ignore"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum OnTimeout {
    /// A probe that exceeds its timeout counts as failed.
    #[default]
    Fail,
    /// A probe that exceeds its timeout is inconclusive: it does not change the state of the endpoint.
    Ignore,
}

impl OnTimeout {
    /// Returns the name of this value in lower case: `fail` or `ignore`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Ignore => "ignore",
        }
    }
}

/// The outcome of a probe that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeOutcome {
    /// The probe has passed: the endpoint works, as far as the probe can tell.
    Passed,
    /// An agent on the endpoint has reported the state of the endpoint in this reply.
    Agent(AgentReply),
    /// The probe could not find out whether the endpoint works. The contained error gives the reason. The state of the
    /// endpoint does not change. An [`AgentProbe`](super::AgentProbe) has this outcome if the agent cannot be reached
    /// or sends an incomplete line.
    Inconclusive(ProbeError),
}

impl ProbeOutcome {
    /// Returns the name of this kind of outcome in lower case: `passed`, `agent` or `inconclusive`. The name never
    /// changes.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Agent(_) => "agent",
            Self::Inconclusive(_) => "inconclusive",
        }
    }
}

/// Returns [`ProbeOutcome::Passed`].
impl From<()> for ProbeOutcome {
    fn from((): ()) -> Self {
        ProbeOutcome::Passed
    }
}

/// Returns [`ProbeOutcome::Agent`] with this reply.
impl From<AgentReply> for ProbeOutcome {
    fn from(reply: AgentReply) -> Self {
        ProbeOutcome::Agent(reply)
    }
}
