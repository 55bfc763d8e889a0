use super::{AgentAdmin, AgentHealth, AgentReply};

/// The state of an endpoint according to all replies of its agent so far. The default is the state before the first
/// reply: the endpoint is ready and up, and has its configured weight and its configured maximum number of requests in
/// flight.
///
/// If the agent sends no reply or an incomplete line, do not call [`apply`](Self::apply). The state then does not
/// change.
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
    /// The last weight that the agent reported, in percent of the configured weight. Range: 0 to 25 600. `None` if
    /// the agent has not reported a weight yet.
    pub weight_percent: Option<u32>,
    /// The last maximum number of requests in flight that the agent reported.
    ///
    /// - `Some(Some(n))`: at most `n` requests.
    /// - `Some(None)`: the agent reported that there is no maximum.
    /// - `None`: the agent has not reported a maximum yet.
    pub max_in_flight: Option<Option<u32>>,
    /// The last administrative state that the agent reported: ready, drain or maintenance. Default: ready.
    pub admin: AgentAdmin,
    /// The last health that the agent reported: up or down. Default: up. The health is independent of
    /// [`admin`](Self::admin): an endpoint that goes down during maintenance is still down after the agent reports
    /// `ready`.
    pub health: AgentHealth,
}

impl AgentState {
    /// Updates the state with the values in one reply of the agent. Values that are not in the reply stay as they are.
    pub fn apply(&mut self, reply: &AgentReply) {
        self.weight_percent = reply.weight_percent.or(self.weight_percent);
        self.max_in_flight = reply.max_in_flight.or(self.max_in_flight);
        self.admin = reply.admin.unwrap_or(self.admin);
        self.health = reply.health.unwrap_or(self.health);
    }

    /// Returns the weight of an endpoint: the percentage of `configured` that the agent reported, rounded down.
    /// `configured` is the weight in the endpoint's configuration. If the agent has not reported a weight, the result
    /// is `configured`.
    ///
    /// The result is at most 256, the maximum weight in HAProxy. If `configured` is above 256, the result is at most
    /// `configured` instead.
    #[must_use]
    pub fn weight(&self, configured: u32) -> u32 {
        const MAX_WEIGHT: u32 = 256;
        let Some(percent) = self.weight_percent else { return configured };
        let share = u64::from(configured) * u64::from(percent) / 100;
        share.min(u64::from(configured.max(MAX_WEIGHT))).try_into().unwrap_or(u32::MAX)
    }

    /// Returns the maximum number of requests in flight of an endpoint, as the agent reported it. If the agent has not
    /// reported a maximum, the result is `configured`: the maximum in the endpoint's configuration. For the result and
    /// for `configured`, `None` means that there is no maximum.
    #[must_use]
    pub fn max_in_flight(&self, configured: Option<u32>) -> Option<u32> {
        self.max_in_flight.unwrap_or(configured)
    }
}
