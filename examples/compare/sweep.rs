//! The runs: every strategy at every load and for every seed, with a progress bar and Ctrl-C.

use std::{
    sync::mpsc::{RecvTimeoutError, sync_channel},
    thread,
    time::Duration,
};

use equipoise::sim::{Comparison, Contender, Control, InvalidScenario, RunError};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{figures, scenarios::Known};

/// The results of a scenario.
pub(crate) struct Sweep {
    pub(crate) scenario: &'static Known,
    pub(crate) labels: Vec<String>,
    pub(crate) seeds: u64,
    pub(crate) points: Vec<Point>,
}

/// All strategies at one load.
pub(crate) struct Point {
    pub(crate) load: f64,
    pub(crate) comparison: Comparison,
}

impl Sweep {
    pub(crate) fn run(
        scenario: &'static Known,
        contenders: &[&dyn Contender],
        loads: &[f64],
        seeds: u64,
        watch: &Watch,
    ) -> Result<Self, InvalidScenario> {
        let labels = contenders.iter().map(|contender| contender.label()).collect();
        let mut points = Vec::new();
        for &load in loads {
            if watch.control.is_stopped() {
                break;
            }
            let name = format!("{} at {load}", scenario.name);
            let compare = || Comparison::run(&scenario.at(load), contenders, seeds, &watch.control);
            points.push(Point { load, comparison: watch.during(&name, compare)? });
        }
        Ok(Self { scenario, labels, seeds, points })
    }

    /// Returns the errors with their loads.
    pub(crate) fn errors(&self) -> impl Iterator<Item = (f64, &RunError)> {
        self.points.iter().flat_map(|point| point.comparison.errors.iter().flatten().map(|error| (point.load, error)))
    }

    /// Returns whether any strategy has figures at any load.
    pub(crate) fn has_figures(&self) -> bool {
        self.points.iter().any(Point::has_figures)
    }

    pub(crate) fn at(&self, load: f64) -> Option<&Point> {
        self.points.iter().find(|point| point.load == load)
    }

    pub(crate) fn number(&self, label: &str) -> Option<usize> {
        self.labels.iter().position(|known| known == label)
    }
}

impl Point {
    pub(crate) fn has_figures(&self) -> bool {
        (0..self.comparison.reports.len()).any(|at| !figures::is_missing(&self.comparison, at))
    }
}

/// The progress bar and the handler of Ctrl-C.
pub(crate) struct Watch {
    pub(crate) control: Control,
    bar: ProgressBar,
}

/// Steps of the bar within one comparison.
const FINE: u64 = 1_000;

impl Watch {
    /// Creates a bar for this number of comparisons.
    pub(crate) fn over(comparisons: usize) -> anyhow::Result<Self> {
        let control = Control::new();
        let asked = control.clone();
        ctrlc::set_handler(move || {
            if asked.is_stopped() {
                std::process::exit(130);
            }
            asked.stop();
        })?;
        let bar = ProgressBar::new(comparisons as u64 * FINE);
        bar.set_style(ProgressStyle::with_template("{wide_bar} {percent:>3} % {msg} [{elapsed}]")?);
        Ok(Self { control, bar })
    }

    /// Runs a comparison under the bar, with its name beside it.
    pub(crate) fn during<T: Send>(&self, name: &str, run: impl FnOnce() -> T + Send) -> T {
        self.bar.set_message(name.to_owned());
        let begun = self.bar.position();
        let result = thread::scope(|scope| {
            let (done, is_done) = sync_channel::<()>(0);
            let running = scope.spawn(move || {
                let _until_the_end = done;
                run()
            });
            while is_done.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                self.bar.set_position(begun + (self.control.progress() * FINE as f32) as u64);
            }
            running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        self.bar.set_position(begun + FINE);
        result
    }

    /// Removes the bar.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
