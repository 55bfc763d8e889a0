//! What an agent on an endpoint says of it: HAProxy's agent-check protocol.

/// A line from an agent, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentReply {
    /// In percent of the configured weight.
    pub weight: Option<u32>,
    /// The most connections; `Some(None)` lifts the limit.
    pub limit: Option<Option<u32>>,
    /// Ready, drain or maintenance.
    pub admin: Option<AgentAdmin>,
    /// Up or down.
    pub health: Option<AgentHealth>,
    /// What was not understood, if anything.
    pub warning: Option<String>,
}

/// Whether the agent wants work to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentAdmin {
    /// As usual; undoes the other two.
    Ready,
    /// Nothing new.
    Drain,
    /// Nothing at all.
    Maintenance,
}

/// How the agent feels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentHealth {
    /// Up.
    Up,
    /// Down, failed or stopped, with the word and what was said about it.
    Down(String),
}
