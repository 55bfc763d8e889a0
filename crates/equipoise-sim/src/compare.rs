use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{contender::Contender, control::Control, error::RunError, report::Report, scenario::Scenario};

/// Several strategies under the same requests, each over several seeds.
///
/// Since all get the same requests (common random numbers), differences between them vary less from seed to seed than
/// the figures themselves: see [`ratio`](Self::ratio).
///
/// ```
/// use equipoise_core::StrategySpec;
/// use equipoise_sim::{Comparison, Contender, Control, Scenario, Server};
///
/// let names = ["p2c", "random"].map(|name| name.parse::<StrategySpec>().expect("a strategy"));
/// let contenders: Vec<&dyn Contender> = names.iter().map(|name| name as &dyn Contender).collect();
/// let scenario = Scenario::of(10, Server::fifo(1)).load(0.8);
/// let comparison = Comparison::run(&scenario, &contenders, 3, &Control::new())?;
/// let p99 = |report: &equipoise_sim::Report| report.latency.p99().as_secs_f64();
/// assert!(comparison.ratio(0, 1, p99).most < 1.0, "P2C beats random for every seed");
/// # Ok::<(), equipoise_sim::RunError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Comparison {
    /// By contender, then by seed.
    pub reports: Vec<Vec<Report>>,
}

/// A figure over several seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The smallest.
    pub least: f64,
    /// The largest.
    pub most: f64,
    /// The standard deviation of a single seed's figure; 0 for one seed.
    pub deviation: f64,
}

impl Comparison {
    /// Runs every contender for `seeds` seeds from the scenario's on, on all cores. The control sees the whole.
    ///
    /// # Errors
    ///
    /// The first that any run gives, in the order of contenders and seeds.
    pub fn run(
        scenario: &Scenario,
        contenders: &[&dyn Contender],
        seeds: u64,
        control: &Control,
    ) -> Result<Self, RunError> {
        scenario.check()?;
        let seeds = seeds.max(1) as usize;
        let runs = contenders.len() * seeds;
        let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            let mut done = Vec::new();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= runs || control.is_stopped() {
                    return done;
                }
                let seed = scenario.seed.wrapping_add((run % seeds) as u64);
                let scenario = scenario.clone().seed(seed);
                done.push((run, scenario.run_under(contenders[run / seeds], &control.part())));
                let finished = finished.fetch_add(1, Ordering::Relaxed) + 1;
                control.set_done(finished as f32 / runs as f32);
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(runs);
        let mut done: Vec<(usize, Result<Report, RunError>)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            // A panic here is a bug of the simulator's, not a result.
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        done.sort_by_key(|(run, _)| *run);
        let mut reports: Vec<Vec<Report>> = contenders.iter().map(|_| Vec::new()).collect();
        for (run, report) in done {
            reports[run / seeds].push(report?);
        }
        Ok(Self { reports })
    }

    /// A figure of one contender over the seeds. All zero when it has no reports.
    pub fn spread(&self, contender: usize, figure: impl Fn(&Report) -> f64) -> Spread {
        let reports = self.reports.get(contender).map_or(&[][..], |reports| reports);
        Spread::of(reports.iter().map(figure))
    }

    /// A figure of one contender relative to that of another under the same requests, over the seeds.
    pub fn ratio(&self, contender: usize, to: usize, figure: impl Fn(&Report) -> f64) -> Spread {
        let of = |at: usize| self.reports.get(at).map_or(&[][..], |reports| reports).iter().map(&figure);
        Spread::of(of(contender).zip(of(to)).map(|(one, other)| one / other))
    }
}

impl Spread {
    /// Of these figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let figures: Vec<f64> = figures.into_iter().collect();
        if figures.is_empty() {
            return Self { mean: 0.0, least: 0.0, most: 0.0, deviation: 0.0 };
        }
        let n = figures.len() as f64;
        let mean = figures.iter().sum::<f64>() / n;
        let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
        Self {
            mean,
            least: figures.iter().copied().fold(f64::INFINITY, f64::min),
            most: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            deviation: (squares / (n - 1.0).max(1.0)).sqrt(),
        }
    }
}
