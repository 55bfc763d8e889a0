use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// A handle that shows the progress of a run on another thread and can stop it. Clones share the same state.
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
    /// The progress from 0 to 1, as the bits of an `f32`.
    progress: Arc<AtomicU32>,
}

impl Control {
    /// Creates a handle for one run or one comparison.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the run at its next event. The run then returns a report of the part that was simulated.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`stop`](Self::stop) was called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Returns the progress of the run, from 0 to 1.
    pub fn progress(&self) -> f32 {
        f32::from_bits(self.progress.load(Ordering::Relaxed))
    }

    /// Creates a handle for one run of several that are stopped together. Its progress is its own.
    pub(crate) fn part(&self) -> Self {
        Self { stopped: Arc::clone(&self.stopped), progress: Arc::default() }
    }

    pub(crate) fn set_progress(&self, part: f32) {
        self.progress.store(part.to_bits(), Ordering::Relaxed);
    }
}
