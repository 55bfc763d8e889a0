use super::{AgentAdmin, AgentHealth, AgentReply};

/// The state after a sequence of an agent's replies. The default is ready and up, with the endpoint's own weight and limit.
///
/// A missing or incomplete reply must not be applied: it changes nothing.
///
/// ```
/// use equipoise_health::agent::{AgentAdmin, AgentReply, AgentState};
///
/// let mut state = AgentState::default();
/// for line in ["drain 50%\n", "up\n"] {
///     state.apply(&AgentReply::parse(line.as_bytes())?);
/// }
/// assert_eq!(state.admin, AgentAdmin::Drain, "only `ready` ends it");
/// assert_eq!(state.weight(10), 5);
/// # Ok::<(), equipoise_health::agent::IncompleteLine>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentState {
    /// The last reported weight in percent of the configured weight. `None` if no reply had one.
    pub weight_percent: Option<u32>,
    /// The last reported maximum number of requests in flight. `Some(None)` means no limit; `None` means that no reply had
    /// one.
    pub max_in_flight: Option<Option<u32>>,
    /// The last reported administrative state: ready, drain or maintenance.
    pub admin: AgentAdmin,
    /// The last reported health: up or down. It is independent of `admin`: an endpoint that goes down during maintenance is
    /// still down after `ready`.
    pub health: AgentHealth,
}

impl AgentState {
    /// Applies a reply. What the reply does not mention stays as it is.
    pub fn apply(&mut self, reply: &AgentReply) {
        self.weight_percent = reply.weight_percent.or(self.weight_percent);
        self.max_in_flight = reply.max_in_flight.or(self.max_in_flight);
        self.admin = reply.admin.unwrap_or(self.admin);
        self.health = reply.health.unwrap_or(self.health);
    }

    /// The weight of an endpoint whose configured weight is `configured`: the reported percentage of it, rounded down.
    ///
    /// The result is at most 256 (the maximum in HAProxy), or `configured` if that is larger. Without a reported weight it is
    /// `configured`.
    #[must_use]
    pub fn weight(&self, configured: u32) -> u32 {
        const MAX_WEIGHT: u32 = 256;
        let Some(percent) = self.weight_percent else { return configured };
        let share = u64::from(configured) * u64::from(percent) / 100;
        share.min(u64::from(configured.max(MAX_WEIGHT))).try_into().unwrap_or(u32::MAX)
    }

    /// The maximum number of requests in flight for an endpoint whose configured maximum is `configured`: the reported one,
    /// or `configured` if none was reported. `None` means no limit.
    #[must_use]
    pub fn max_in_flight(&self, configured: Option<u32>) -> Option<u32> {
        self.max_in_flight.unwrap_or(configured)
    }
}
