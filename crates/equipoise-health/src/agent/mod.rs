//! What an agent on an endpoint says of it: HAProxy's agent-check protocol.
//!
//! An agent answers with one line: words separated by spaces, tabs or commas, in any order and any case, ended by the
//! first CR or LF. [`AgentReply`] is such a line, understood; [`AgentState`] is what a sequence of them leaves.
//!
//! | word | what follows |
//! | --- | --- |
//! | `up` | up |
//! | `down`, `fail`, `stopped` | down |
//! | `ready`, `drain`, `maint` | work as usual, nothing new, nothing at all; only `ready` undoes the other two |
//! | `N%` | so much of the configured weight, rounded down |
//! | `maxconn:N` | so many connections at most; 0 lifts the limit |
//! | `#` at the start of a word | the rest is said about a word of the first two kinds |
//!
//! The last word of a kind wins, and what no word mentions stays as it was. A word that means nothing is reported
//! ([`AgentReply::text`]) and the others count. A line that was not ended says nothing.
//!
//! This follows HAProxy 2.6 as recorded from it, and as its source reads for what was not. See <https://docs.haproxy.org/2.6/configuration.html#5.2-agent-check>.

mod number;
mod parse;
mod state;

use std::fmt;

pub use self::state::AgentState;

/// A line from an agent, understood.
///
/// ```
/// use equipoise_health::agent::{AgentHealth, AgentReply};
///
/// let reply = AgentReply::parse(b"up 75% maxconn:30\n")?;
/// assert_eq!(reply.health, Some(AgentHealth::Up));
/// assert_eq!(reply.weight, Some(75));
/// assert_eq!(reply.limit, Some(Some(30)));
///
/// let reply = AgentReply::parse(b"down # disk is full\n")?;
/// assert_eq!(reply.text, "via agent : down (disk is full)");
///
/// assert!(AgentReply::parse(b"up").is_err(), "the line may go on");
/// # Ok::<(), equipoise_health::agent::IncompleteLine>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentReply {
    /// How much weight, in percent of the configured one: at most 25 600.
    pub weight: Option<u32>,
    /// The most connections; `Some(None)` lifts the limit.
    pub limit: Option<Option<u32>>,
    /// Ready, drain or maintenance.
    pub admin: Option<AgentAdmin>,
    /// Up or down.
    pub health: Option<AgentHealth>,
    /// The first word that means nothing.
    pub unknown: Option<String>,
    /// What is wrong with a weight or a limit; that one does not count then.
    pub warning: Option<AgentWarning>,
    /// All of it for people to read, as HAProxy words it: `via agent : down (going)`, `agent reports an error : …`,
    /// `agent warns : …`, or nothing. At most 127 bytes of what the agent sent.
    pub text: String,
}

/// Whether the agent wants work to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentAdmin {
    /// As usual; undoes the other two.
    #[default]
    Ready,
    /// Nothing new.
    Drain,
    /// Nothing at all.
    Maintenance,
}

/// How the agent feels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentHealth {
    /// Up.
    #[default]
    Up,
    /// Down, failed or stopped.
    Down,
}

/// What is wrong with a weight or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentWarning {
    /// A weight that goes on after its number.
    WeightTrailing,
    /// The same, and the number is above 256.
    WeightOutOfRange,
    /// `maxconn:` and nothing.
    NoLimit,
    /// A limit that does not begin with a number.
    LimitNotANumber,
    /// A limit that goes on after its number.
    LimitTrailing,
}

/// The line was not ended by CR or LF, or has a NUL before its end: it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Ignoring incomplete line from agent")]
pub struct IncompleteLine;

impl fmt::Display for AgentWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AgentWarning::WeightTrailing => "Trailing garbage in weight string",
            AgentWarning::WeightOutOfRange => "Absolute weight can only be between 0 and 256 inclusive.",
            AgentWarning::NoLimit => "Require <maxconn>.",
            AgentWarning::LimitNotANumber => "maxconn string empty or preceded by garbage",
            AgentWarning::LimitTrailing => "Trailing garbage in maxconn string",
        })
    }
}

impl fmt::Display for AgentReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
