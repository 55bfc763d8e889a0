//! The methods of [`Scenario`] that run it with a strategy.

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
    /// Runs the scenario with the strategy of `contender` and returns the measurements.
    ///
    /// # Errors
    ///
    /// - The scenario is impossible: [`RunError::Scenario`].
    /// - The strategy cannot be used: it refuses the servers, panics, or picks no endpoint although one is available.
    /// - More attempts are open at the same time than [`max_open_attempts`](Self::max_open_attempts) allows:
    ///   [`RunError::PiledUp`].
    pub fn run(&self, contender: &dyn Contender) -> Result<Report, RunError> {
        self.run_under(contender, &Control::new())
    }

    /// Runs the scenario like [`run`](Self::run). Another thread can watch the progress through `control` and stop the
    /// run. A stopped run returns a report of the part that was simulated.
    ///
    /// # Errors
    ///
    /// The same errors as [`run`](Self::run).
    pub fn run_under(&self, contender: &dyn Contender, control: &Control) -> Result<Report, RunError> {
        self.run_fed(contender, &mut NoFeed, control)
    }

    /// Runs the scenario like [`run_under`](Self::run_under), and delivers the load that servers report to `feed`. Use
    /// this for strategies that pick by reported loads.
    ///
    /// # Errors
    ///
    /// The same errors as [`run`](Self::run), and [`RunError::Scenario`] if [`Feed::snapshot_interval`] is so short
    /// that the run would take more than 10⁹ loads in all its snapshots.
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
