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

/// What is left of an agent's replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentState {
    /// Drain or maintenance.
    pub admin: AgentAdmin,
    /// Why it is down, if it is.
    pub down: Option<String>,
    /// In percent of the configured weight.
    pub weight: u32,
    /// The most connections.
    pub limit: Option<u32>,
}

impl Default for AgentState {
    fn default() -> Self {
        Self { admin: AgentAdmin::Ready, down: None, weight: 100, limit: None }
    }
}

impl AgentState {
    /// Takes a reply in.
    pub fn apply(&mut self, reply: &AgentReply) {
        if let Some(admin) = reply.admin {
            self.admin = admin;
        }
        match &reply.health {
            Some(AgentHealth::Up) => self.down = None,
            Some(AgentHealth::Down(reason)) => self.down = Some(reason.clone()),
            None => {}
        }
        self.weight = reply.weight.unwrap_or(self.weight);
        self.limit = reply.limit.unwrap_or(self.limit);
    }
}
