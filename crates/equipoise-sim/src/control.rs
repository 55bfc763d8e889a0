use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// Shows the progress of a run to other threads and lets them stop the run. All clones of a control belong to the same
/// run.
///
/// ```
/// use equipoise_core::StrategySpec;
/// use equipoise_sim::{Control, Scenario, Server};
///
/// let control = Control::new();
/// control.stop();
/// let p2c: StrategySpec = "p2c".parse()?;
/// let report = Scenario::of(2, Server::fifo(1)).run_under(&p2c, &control)?;
/// assert!(report.interrupted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Control {
    stopped: Arc<AtomicBool>,
    /// The progress from 0.0 to 1.0, as the bits of an `f32`.
    progress: Arc<AtomicU32>,
}

impl Control {
    /// Creates a control for one run or one comparison. Create a new one for the next run, because a stopped control
    /// stays stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the run before its next simulated event. The run then returns a report of the part that was simulated,
    /// with [`Report::interrupted`](crate::Report::interrupted) set to true. If a later run uses this control, it is
    /// stopped at once.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`stop`](Self::stop) was called on this control or one of its clones.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Returns the progress, from 0.0 to 1.0:
    ///
    /// - for a run, the simulated part of [`Scenario::lasting`](crate::Scenario::lasting),
    /// - for a [`Comparison`](crate::Comparison), the share of its runs that have ended.
    pub fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }

    /// Creates a control for one run of a comparison. Stopping the comparison stops this run too, but the run has its
    /// own progress.
    pub(crate) fn part(&self) -> Self {
        Self { stopped: Arc::clone(&self.stopped), progress: Arc::default() }
    }

    pub(crate) fn set_progress(&self, part: f32) {
        self.progress.store(part.to_bits(), Ordering::Relaxed);
    }
}
