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

/// The reports of several strategies under the same requests, with one report for each strategy and seed.
///
/// For each seed, all strategies get the same requests (common random numbers). [`ratio`](Self::ratio) divides a figure
/// of one strategy, such as its 99th percentile of the latency, by the same figure of another strategy. Such a ratio
/// varies less from seed to seed than the figures themselves.
///
/// If a run of one strategy fails, that strategy has an error in [`errors`](Self::errors) and no reports. The other
/// strategies keep their reports. [`complete`](Self::complete) returns the first error, if there is one.
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
/// assert!(comparison.ratio(0, 1, p99).max < 1.0, "P2C beats random for every seed");
/// # Ok::<(), equipoise_sim::RunError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// The reports of each contender (strategy under test), in the order in which the contenders were given. Each
    /// contender has one report for each seed, in the order of the seeds. Reports are missing in two cases:
    ///
    /// - If one run of a contender failed, this contender has no reports.
    /// - If the comparison was stopped, runs that had not started have no report. Stopped runs that had not measured a
    ///   request have none either.
    pub reports: Vec<Vec<Report>>,
    /// The error of each contender (strategy under test), in the order in which the contenders were given. If runs with
    /// several seeds failed, it is the error of the first of these seeds. `None` if no run of the contender failed.
    pub errors: Vec<Option<RunError>>,
}

/// Statistics of a figure over several seeds: mean, minimum, maximum and standard deviation. A figure is a number that
/// is computed from a [`Report`], such as the 99th percentile of the latency. All fields are NaN if there are no seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Spread {
    /// The mean of the figure over the seeds.
    pub mean: f64,
    /// The smallest value of the figure over the seeds.
    pub min: f64,
    /// The largest value of the figure over the seeds.
    pub max: f64,
    /// The sample standard deviation of the figure over the seeds. 0 if there is only one seed.
    pub deviation: f64,
}

impl Comparison {
    /// Runs `scenario` once for each contender and seed, in parallel on all cores. `seeds` is the number of seeds: the
    /// first seed is [`Scenario::seed`], the next one is greater by 1, and so on. If `seeds` is 0, one seed is used.
    ///
    /// `control` shows the progress of all runs together and can stop all of them. After a stop, the comparison
    /// contains the reports so far. The report of a run that was stopped half-way has
    /// [`interrupted`](Report::interrupted) set to true.
    ///
    /// # Errors
    ///
    /// Returns an error if the scenario cannot be run. Errors of single contenders are in [`errors`](Self::errors)
    /// instead.
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
                control.set_progress(finished as f32 / runs as f32);
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(runs);
        let mut done: Vec<(usize, Result<Report, RunError>)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            // A panic here is a bug of the simulator, because panics of strategies are caught.
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
                // Stopped before the first measured request ended, so the report has no figures.
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

    /// Returns the comparison unchanged if no contender (strategy under test) has an error in [`errors`](Self::errors).
    ///
    /// # Errors
    ///
    /// Returns the error of the first contender (strategy under test) for which a run failed.
    pub fn complete(mut self) -> Result<Self, RunError> {
        self.errors.iter_mut().find_map(Option::take).map_or(Ok(()), Err)?;
        Ok(self)
    }

    /// Returns the statistics of a figure over all reports of one contender (strategy under test). `contender` is the
    /// index of the contender in [`reports`](Self::reports), and `figure` computes the figure from a report. All
    /// statistics are NaN if the contender has no reports or the index is unknown.
    pub fn spread(&self, contender: usize, figure: impl Fn(&Report) -> f64) -> Spread {
        let reports = self.reports.get(contender).map_or(&[][..], |reports| reports);
        Spread::of(reports.iter().map(figure))
    }

    /// Returns the statistics of a ratio between two contenders (strategies under test) over the seeds. For each seed,
    /// the ratio is a figure of the contender with the index `contender`, divided by the same figure of the contender
    /// with the index `to`. `figure` computes the figure from a report. The indices are those of
    /// [`reports`](Self::reports).
    ///
    /// A seed is left out if one of the two contenders has no report for it. All statistics are NaN if no seed is left.
    pub fn ratio(&self, contender: usize, to: usize, figure: impl Fn(&Report) -> f64) -> Spread {
        let of = |at: usize| self.reports.get(at).map_or(&[][..], |reports| reports);
        let same = |one: &Report| of(to).iter().find(|other| other.seed == one.seed);
        Spread::of(of(contender).iter().filter_map(|one| Some(figure(one) / figure(same(one)?))))
    }
}

impl Spread {
    /// Computes the statistics of the given figures, one for each seed. All statistics are NaN without figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let figures: Vec<f64> = figures.into_iter().collect();
        if figures.is_empty() {
            // Every comparison with NaN is false, so an assertion on missing figures fails.
            return Self { mean: f64::NAN, min: f64::NAN, max: f64::NAN, deviation: f64::NAN };
        }
        let n = figures.len() as f64;
        let mean = figures.iter().sum::<f64>() / n;
        let squares: f64 = figures.iter().map(|figure| (figure - mean).powi(2)).sum();
        Self {
            mean,
            min: figures.iter().copied().fold(f64::INFINITY, f64::min),
            max: figures.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            deviation: (squares / (n - 1.0).max(1.0)).sqrt(),
        }
    }
}
