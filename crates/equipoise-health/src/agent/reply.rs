use std::fmt;

/// One parsed reply line from an agent. An agent is a program on an endpoint; the line contains what the agent reports
/// about this endpoint.
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
    /// The weight that the line reports, in percent of the endpoint's configured weight. Range: 0 to 25 600. A larger
    /// number in the line counts as 25 600. `None` if the line has no valid weight.
    pub weight_percent: Option<u32>,
    /// The maximum number of requests in flight that the line reports with the word `maxconn:`.
    ///
    /// - `Some(Some(n))`: at most `n` requests.
    /// - `Some(None)`: the line contains `maxconn:0`, which means that there is no maximum.
    /// - `None`: the line has no valid `maxconn:` word.
    pub max_in_flight: Option<Option<u32>>,
    /// The administrative state that the line reports: ready, drain or maintenance. `None` if the line reports no
    /// administrative state.
    pub admin: Option<AgentAdmin>,
    /// The health that the line reports: up or down. `None` if the line does not report the health.
    pub health: Option<AgentHealth>,
    /// The first unknown word of the line: the first one that is not part of the agent-check protocol, cut to 127
    /// bytes. `None` if all words are known.
    pub unknown_word: Option<String>,
    /// The first syntax error in the weight word or the `maxconn:` word of the line. The word with the error is
    /// ignored. `None` if neither word has a syntax error.
    pub warning: Option<AgentWarning>,
    /// A summary of the line for people, in HAProxy's wording. Examples: `via agent : down (going)`, `agent reports an
    /// error : …`, `agent warns : …`. The summary is cut to 127 bytes. Control characters other than tabs are replaced
    /// by U+FFFD. The summary is empty if the line has no word about the health, no unknown word and no syntax error.
    pub text: String,
}

/// The administrative state that an agent reports for its endpoint. The state says which requests the endpoint should
/// get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentAdmin {
    /// The agent reported `ready`: the endpoint may get requests of every kind. This ends an earlier `drain` or
    /// `maint` of the agent.
    #[default]
    Ready,
    /// The agent reported `drain`: the endpoint should get only requests that are bound to it, such as those of its
    /// existing sessions.
    Drain,
    /// The agent reported `maint`: the endpoint should get no requests.
    Maintenance,
}

/// The health that an agent reports for its endpoint: up or down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentHealth {
    /// The agent reported that the endpoint is `up`.
    #[default]
    Up,
    /// The agent reported that the endpoint is `down`. The words `fail` and `stopped` mean the same.
    Down,
}

/// A syntax error in the weight word or the `maxconn:` word of a reply line from an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentWarning {
    /// The text after the number in the weight word is not exactly `%`, and the number is at most 256. Example: `1.5%`.
    /// The word is ignored.
    WeightTrailing,
    /// The text after the number in the weight word is not exactly `%`, and the number is above 256. Example: `300.5%`.
    /// The word is ignored. (`300%` is valid.)
    WeightOutOfRange,
    /// The word `maxconn:` has no value. The word is ignored.
    LimitMissing,
    /// The value of the word `maxconn:` does not begin with a number. The word is ignored.
    LimitNotANumber,
    /// The value of the word `maxconn:` begins with a number, but has other characters after this number. Example:
    /// `maxconn:3x`. The word is ignored.
    LimitTrailing,
}

/// The error for an incomplete reply line from an agent: the line has no CR or LF, or it has a NUL character before the
/// first CR or LF. The caller must ignore such a line and keep the state from the agent's earlier lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Ignoring incomplete line from agent")]
pub struct IncompleteLine;

impl AgentAdmin {
    /// Returns the name of this value in lower case: `ready`, `drain` or `maintenance`. The name never changes.
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
    /// Returns the name of this value in lower case: `up` or `down`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl AgentWarning {
    /// Returns the name of this value in snake case, such as `weight_trailing`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WeightTrailing => "weight_trailing",
            Self::WeightOutOfRange => "weight_out_of_range",
            Self::LimitMissing => "limit_missing",
            Self::LimitNotANumber => "limit_not_a_number",
            Self::LimitTrailing => "limit_trailing",
        }
    }
}

/// Writes HAProxy's message for this syntax error.
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

/// Writes the [summary](AgentReply::text) of the line.
impl fmt::Display for AgentReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
