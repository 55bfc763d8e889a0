use super::{AgentAdmin, AgentHealth, AgentReply};

/// What an agent's replies left. At first it has said nothing: ready, up, weight and limit as configured.
///
/// What is no reply (no connection, no answer in time, an incomplete line) is not applied and so changes nothing.
///
/// ```
/// use equipoise_health::agent::{AgentAdmin, AgentReply, AgentState};
///
/// let mut state = AgentState::default();
/// for line in ["drain 50%\n", "up\n"] {
///     state.apply(&AgentReply::parse(line.as_bytes())?);
/// }
/// assert_eq!(state.admin, AgentAdmin::Drain, "only ready undoes it");
/// assert_eq!(state.weight(10), 5);
/// # Ok::<(), equipoise_health::agent::IncompleteLine>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentState {
    /// The weight it wants, in percent, if it ever said one.
    pub weight: Option<u32>,
    /// The most connections it wants, if it ever said; `Some(None)` lifts the limit.
    pub limit: Option<Option<u32>>,
    /// Ready, drain or maintenance.
    pub admin: AgentAdmin,
    /// Up or down. Kept apart from the one above: who is down in maintenance is down after it.
    pub health: AgentHealth,
}

impl AgentState {
    /// Takes in a reply. What it does not mention stays.
    pub fn apply(&mut self, reply: &AgentReply) {
        self.weight = reply.weight.or(self.weight);
        self.limit = reply.limit.or(self.limit);
        self.admin = reply.admin.unwrap_or(self.admin);
        self.health = reply.health.unwrap_or(self.health);
    }

    /// The weight, where `configured` is what the endpoint has. Shares are rounded down and end at 256, or at the
    /// configured weight where that is more: HAProxy, whose weights go to 256, knows no such case.
    #[must_use]
    pub fn weight(&self, configured: u32) -> u32 {
        const MOST: u32 = 256;
        let Some(percent) = self.weight else { return configured };
        let share = u64::from(configured) * u64::from(percent) / 100;
        share.min(u64::from(configured.max(MOST))).try_into().unwrap_or(u32::MAX)
    }

    /// The limit, where `configured` is the endpoint's own.
    #[must_use]
    pub fn limit(&self, configured: Option<u32>) -> Option<u32> {
        self.limit.unwrap_or(configured)
    }
}
