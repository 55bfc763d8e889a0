use std::fmt;

/// One parsed line of an agent.
///
/// ```
/// use equipoise_health::agent::{AgentHealth, AgentReply};
///
/// let reply = AgentReply::parse(b"up 75% maxconn:30\n")?;
/// assert_eq!(reply.health, Some(AgentHealth::Up));
/// assert_eq!(reply.weight_percent, Some(75));
/// assert_eq!(reply.max_in_flight, Some(Some(30)));
///
/// let reply = AgentReply::parse(b"down # disk is full\n")?;
/// assert_eq!(reply.text, "via agent : down (disk is full)");
///
/// assert!(AgentReply::parse(b"up").is_err(), "the line has no end");
/// # Ok::<(), equipoise_health::agent::IncompleteLine>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentReply {
    /// The weight in percent of the endpoint's configured weight, from 0 to 25 600 (larger values are capped). `None` if the
    /// line has no valid weight.
    pub weight_percent: Option<u32>,
    /// The maximum number of requests in flight (`maxconn`). `Some(None)` removes the limit. `None` if the line has no valid
    /// `maxconn` word.
    pub max_in_flight: Option<Option<u32>>,
    /// The administrative state: ready, drain or maintenance. `None` if the line does not mention it.
    pub admin: Option<AgentAdmin>,
    /// Whether the endpoint is up or down. `None` if the line does not mention it.
    pub health: Option<AgentHealth>,
    /// The first word of the line that has no meaning, cut to 127 bytes. `None` if all words are known.
    pub unknown_word: Option<String>,
    /// The first syntax error in a weight or `maxconn` word. That word is ignored. `None` if there is no error.
    pub warning: Option<AgentWarning>,
    /// A summary for people, in HAProxy's words: `via agent : down (going)`, `agent reports an error : …`,
    /// `agent warns : …`, or empty. It has at most 127 bytes, without control characters.
    pub text: String,
}

/// The administrative state that an agent reports: which requests its endpoint should get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentAdmin {
    /// `ready`: all requests. It ends an earlier `drain` or `maint`.
    #[default]
    Ready,
    /// `drain`: only requests that are bound to the endpoint.
    Drain,
    /// `maint`: no requests.
    Maintenance,
}

/// Whether an agent reports its endpoint as up or down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentHealth {
    /// The agent reported `up`.
    #[default]
    Up,
    /// The agent reported `down`, `fail` or `stopped`.
    Down,
}

/// A syntax error in the weight or `maxconn` word of an agent's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentWarning {
    /// The weight is followed by other characters, such as `1.5%`.
    WeightTrailing,
    /// The weight is followed by other characters, and its number is above 256.
    WeightOutOfRange,
    /// The word `maxconn:` has no number.
    LimitMissing,
    /// The value of `maxconn:` does not begin with a number.
    LimitNotANumber,
    /// The number of `maxconn:` is followed by other characters.
    LimitTrailing,
}

/// The error for an agent's line that does not end with CR or LF, or that has a NUL before its end. Such a line changes
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Ignoring incomplete line from agent")]
pub struct IncompleteLine;

impl AgentAdmin {
    /// A stable label in lower case: `ready`, `drain` or `maintenance`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

impl AgentHealth {
    /// A stable label in lower case: `up` or `down`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// HAProxy's message for the error.
impl fmt::Display for AgentWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AgentWarning::WeightTrailing => "Trailing garbage in weight string",
            AgentWarning::WeightOutOfRange => "Absolute weight can only be between 0 and 256 inclusive.",
            AgentWarning::LimitMissing => "Require <maxconn>.",
            AgentWarning::LimitNotANumber => "maxconn string empty or preceded by garbage",
            AgentWarning::LimitTrailing => "Trailing garbage in maxconn string",
        })
    }
}

/// The [text](AgentReply::text).
impl fmt::Display for AgentReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
