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
    /// - [`RunError::Scenario`]: a setting of the scenario is out of range, or the run would take too much memory or
    ///   time.
    /// - [`RunError::Unusable`]: the pool of a client refuses the servers or a change of their availability.
    /// - [`RunError::Misbehaved`]: the strategy panics in a pick, picks an invalid endpoint, or picks none although one
    ///   is available.
    /// - [`RunError::Panicked`] and [`RunError::HookPanicked`]: the strategy panics elsewhere.
    /// - [`RunError::PiledUp`]: more attempts are open at the same time than
    ///   [`max_open_attempts`](Self::max_open_attempts) allows.
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

    /// Runs the scenario like [`run_under`](Self::run_under), and passes the loads of the servers to `feed` during the
    /// run. Use this for strategies that pick by the load of servers.
    ///
    /// # Errors
    ///
    /// The same errors as [`run`](Self::run). In addition, [`RunError::Scenario`] if [`Feed::snapshot_interval`] is so
    /// short that all snapshots of the run together would have more than 10⁹ loads (one load for each server and
    /// snapshot).
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
