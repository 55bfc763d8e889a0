use std::pin::Pin;

use super::{ProbeError, Target};
use crate::agent::AgentReply;

/// The future of one probe: see [`Probe::probe`].
pub type ProbeFuture<'a> = Pin<Box<dyn Future<Output = Result<ProbeOutcome, ProbeError>> + Send + 'a>>;

/// A way to examine an endpoint. [`probe_fn`](super::probe_fn) makes one of an async closure.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a probe",
    note = "use `probe_fn` to make a probe of an async closure, or `probe_service` for a tower service"
)]
pub trait Probe: Send + Sync + 'static {
    /// Examines an endpoint once. An error means that the probe failed, and says why.
    ///
    /// The future must not block its thread, and it may be dropped at any time.
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a>;

    /// What a probe that exceeds its [timeout](crate::Schedule::timeout) means for the endpoint. The default is
    /// [`OnTimeout::Fail`].
    fn on_timeout(&self) -> OnTimeout {
        OnTimeout::Fail
    }
}

/// What a probe that exceeds its [timeout](crate::Schedule::timeout) means for the endpoint.
///
/// With the feature `serde` it is `"fail"` or `"ignore"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum OnTimeout {
    /// The probe has failed.
    #[default]
    Fail,
    /// The probe is inconclusive: the state of the endpoint does not change.
    Ignore,
}

impl OnTimeout {
    /// A stable label in lower case: `fail` or `ignore`.
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
    /// The endpoint works as far as the probe can tell.
    Passed,
    /// An agent on the endpoint has reported this.
    Agent(AgentReply),
    /// The probe learnt nothing about the endpoint, for this reason. The state of the endpoint does not change. An
    /// [`AgentProbe`](super::AgentProbe) returns it if the agent cannot be reached or sends an incomplete line.
    Inconclusive(ProbeError),
}

impl ProbeOutcome {
    /// A stable label in lower case: `passed`, `agent` or `inconclusive`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Agent(_) => "agent",
            Self::Inconclusive(_) => "inconclusive",
        }
    }
}

/// [`ProbeOutcome::Passed`].
impl From<()> for ProbeOutcome {
    fn from((): ()) -> Self {
        ProbeOutcome::Passed
    }
}

/// [`ProbeOutcome::Agent`].
impl From<AgentReply> for ProbeOutcome {
    fn from(reply: AgentReply) -> Self {
        ProbeOutcome::Agent(reply)
    }
}
