use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    contender::Contender,
    control::Control,
    error::RunError,
    report::Report,
    scenario::{InvalidScenario, Scenario},
};

/// Several strategies under the same requests, each over several seeds.
///
/// Since all get the same requests (common random numbers), differences between them vary less from seed to seed than
/// the figures themselves: see [`ratio`](Self::ratio).
///
/// A contender that fails does not take the others with it: it has an error instead of reports. Who wants all or nothing
/// asks for [`complete`](Self::complete).
///
/// ```
/// use equipoise_core::StrategySpec;
/// use equipoise_sim::{Comparison, Contender, Control, Scenario, Server};
///
/// let names = ["p2c", "random"].map(|name| name.parse::<StrategySpec>().expect("a strategy"));
/// let contenders: Vec<&dyn Contender> = names.iter().map(|name| name as &dyn Contender).collect();
/// let scenario = Scenario::of(10, Server::fifo(1)).load(0.8);
/// let comparison = Comparison::run(&scenario, &contenders, 3, &Control::new())?.complete()?;
/// let p99 = |report: &equipoise_sim::Report| report.latency.p99().as_secs_f64();
/// assert!(comparison.ratio(0, 1, p99).most < 1.0, "P2C beats random for every seed");
/// # Ok::<(), equipoise_sim::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// By contender, then by seed. None of a contender that failed: the seeds that it got through would flatter it.
    pub reports: Vec<Vec<Report>>,
    /// By contender: why it failed, if it did, at the first of the seeds at which it did.
    pub errors: Vec<Option<RunError>>,
}

/// A figure over several seeds; not a number (NaN), where there are none.
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
    /// Runs every contender for `seeds` seeds from the scenario's on, on all cores. The control sees the whole; when it is
    /// stopped, contenders whose turn had not come have fewer reports, or none.
    ///
    /// # Errors
    ///
    /// When the scenario is impossible, whoever contends. What a contender does wrong is in [`errors`](Self::errors).
    pub fn run(
        scenario: &Scenario,
        contenders: &[&dyn Contender],
        seeds: u64,
        control: &Control,
    ) -> Result<Self, InvalidScenario> {
        scenario.check()?;
        let seeds = seeds.max(1) as usize;
        let runs = contenders.len().saturating_mul(seeds);
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
        let mut errors: Vec<Option<RunError>> = contenders.iter().map(|_| None).collect();
        for (run, report) in done {
            let contender = run / seeds;
            match report {
                // Stopped before it measured anything: zeros are no figures.
                Ok(report) if report.interrupted && report.ends.total() == 0 => {}
                Ok(report) => reports[contender].push(report),
                Err(error) => {
                    errors[contender].get_or_insert(error);
                }
            }
        }
        for (reports, _) in reports.iter_mut().zip(&errors).filter(|(_, error)| error.is_some()) {
            reports.clear();
        }
        Ok(Self { reports, errors })
    }

    /// All of it, or nothing.
    ///
    /// # Errors
    ///
    /// That of the first contender that failed.
    pub fn complete(mut self) -> Result<Self, RunError> {
        self.errors.iter_mut().find_map(Option::take).map_or(Ok(()), Err)?;
        Ok(self)
    }

    /// A figure of one contender over the seeds.
    pub fn spread(&self, contender: usize, figure: impl Fn(&Report) -> f64) -> Spread {
        let reports = self.reports.get(contender).map_or(&[][..], |reports| reports);
        Spread::of(reports.iter().map(figure))
    }

    /// A figure of one contender relative to that of another under the same requests, over the seeds that both have.
    pub fn ratio(&self, contender: usize, to: usize, figure: impl Fn(&Report) -> f64) -> Spread {
        let of = |at: usize| self.reports.get(at).map_or(&[][..], |reports| reports);
        let same = |one: &Report| of(to).iter().find(|other| other.seed == one.seed);
        Spread::of(of(contender).iter().filter_map(|one| Some(figure(one) / figure(same(one)?))))
    }
}

impl Spread {
    /// Of these figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let figures: Vec<f64> = figures.into_iter().collect();
        if figures.is_empty() {
            // Nothing is less than this, and nothing more: an assertion on it fails.
            return Self { mean: f64::NAN, least: f64::NAN, most: f64::NAN, deviation: f64::NAN };
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
