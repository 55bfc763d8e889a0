//! Running a scenario.

use crate::{
    contender::Contender,
    control::Control,
    engine,
    error::RunError,
    feed::{Feed, NoFeed},
    report::Report,
    scenario::Scenario,
};

impl Scenario {
    /// Runs the scenario with a strategy.
    ///
    /// # Errors
    ///
    /// - The scenario is impossible ([`RunError::Scenario`]).
    /// - The strategy cannot be used: it refuses the servers, panics, or picks no endpoint although it could.
    /// - More attempts are open at the same time than [`max_open_attempts`](Self::max_open_attempts) allows.
    pub fn run(&self, contender: &dyn Contender) -> Result<Report, RunError> {
        self.run_under(contender, &Control::new())
    }

    /// Runs the scenario so that another thread can watch the progress and stop the run. A stopped run returns a report
    /// of the part that was simulated.
    ///
    /// # Errors
    ///
    /// The same as for [`run`](Self::run).
    pub fn run_under(&self, contender: &dyn Contender, control: &Control) -> Result<Report, RunError> {
        self.run_fed(contender, &mut NoFeed, control)
    }

    /// Runs the scenario with a [`Feed`], for strategies that use the load which servers report.
    ///
    /// # Errors
    ///
    /// The same as for [`run`](Self::run), and if [`Feed::snapshot_interval`] is so short that a run would take more
    /// than 10⁹ loads.
    pub fn run_fed(
        &self,
        contender: &dyn Contender,
        feed: &mut dyn Feed,
        control: &Control,
    ) -> Result<Report, RunError> {
        self.check()?;
        self.check_feed(feed.snapshot_interval())?;
        engine::run(self, contender, feed, control)
    }
}
