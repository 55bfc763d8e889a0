use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// A handle on a run that is under way on another thread: how far it is, and a way to stop it. Clones share it.
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
    /// The part that is done, as the bits of an `f32`.
    done: Arc<AtomicU32>,
}

impl Control {
    /// For one run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run at its next event. It reports what it had.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it is to stop.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The part of the run's time that is over, from 0 to 1.
    pub fn done(&self) -> f32 {
        f32::from_bits(self.done.load(Ordering::Relaxed))
    }

    /// For one run of several that are stopped together.
    pub(crate) fn part(&self) -> Self {
        Self { stopped: Arc::clone(&self.stopped), done: Arc::default() }
    }

    pub(crate) fn set_done(&self, part: f32) {
        self.done.store(part.to_bits(), Ordering::Relaxed);
    }
}
