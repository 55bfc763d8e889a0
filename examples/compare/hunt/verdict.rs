//! What counts as a loss of the default.

use super::outcome::{Figures, Outcome};

/// The default is compared in latency only with strategies that have at most this many more errors (as a share):
/// latencies do not include requests that fail at once, so a strategy with many errors can look fast.
const ERRORS: f64 = 0.001;

/// The first part of the bar: no p99 or p99.9 is worse by more than this share, and there are at most [`ERRORS`] more
/// errors.
const MOST: f64 = 0.25;
/// The second part of the bar: at most this number of cases (the second value) are worse by more than this share (the
/// first value).
const SOME: (f64, usize) = (0.05, 5);

/// The default against the best of the others.
pub(super) struct Verdict {
    pub(super) mean: Against,
    pub(super) p99: Against,
    pub(super) p999: Against,
    pub(super) errors: Against,
    /// The time to return after an outage. Not part of the bar.
    pub(super) back: Option<Against>,
}

/// One figure of the default, and the best of the others.
pub(super) struct Against {
    pub(super) ours: f64,
    pub(super) best: f64,
    /// Index of the best contender.
    pub(super) contender: usize,
}

impl Against {
    fn of(outcome: &Outcome, figure: impl Fn(&Figures) -> f64, may: impl Fn(&Figures) -> bool) -> Option<Self> {
        let ours = figure(outcome.figures.first()?.as_ref()?);
        let others = outcome.figures.iter().enumerate().skip(1);
        let others = others.filter_map(|(at, figures)| figures.as_ref().filter(|theirs| may(theirs)).map(|f| (at, f)));
        let best = others.map(|(at, theirs)| (at, figure(theirs))).min_by(|one, other| one.1.total_cmp(&other.1));
        // Without another strategy that has as few errors, the default is the best.
        let (contender, best) = best.unwrap_or((0, ours));
        Some(Self { ours, best, contender })
    }

    /// Returns by how much the default is worse, relative to the best: 0.1 for 10 %.
    pub(super) fn worse(&self) -> f64 {
        if self.ours == self.best { 0.0 } else { self.ours / self.best - 1.0 }
    }
}

impl Verdict {
    /// Returns `None` if the default has no figures.
    pub(super) fn of(outcome: &Outcome) -> Option<Self> {
        let ours = outcome.figures.first()?.as_ref()?;
        let fair = |theirs: &Figures| theirs.errors <= ours.errors + ERRORS;
        Some(Self {
            mean: Against::of(outcome, |figures| figures.mean, fair)?,
            p99: Against::of(outcome, |figures| figures.p99, fair)?,
            p999: Against::of(outcome, |figures| figures.p999, fair)?,
            errors: Against::of(outcome, |figures| figures.errors, |_| true)?,
            back: ours
                .back
                .and_then(|_| Against::of(outcome, |figures| figures.back.unwrap_or(f64::INFINITY), |_| true)),
        })
    }

    /// Returns how bad the loss is: above [`MOST`] if it is above the bar in any figure, and negative if the default is
    /// better in all.
    pub(super) fn loss(&self) -> f64 {
        let errors = (self.errors.ours - self.errors.best) / ERRORS * MOST;
        // As few errors as others is no gain.
        let errors = if errors > 0.0 { errors } else { f64::NEG_INFINITY };
        self.p99.worse().max(self.p999.worse()).max(errors)
    }
}

/// Returns [`Verdict::loss`] of a case. Infinite if the default has no figures.
pub(super) fn loss(outcome: &Outcome) -> f64 {
    Verdict::of(outcome).map_or(f64::INFINITY, |verdict| verdict.loss())
}

/// The number of cases above each limit of the bar.
pub(super) struct Counts {
    pub(super) above_most: usize,
    pub(super) above_some: usize,
    pub(super) cases: usize,
}

pub(super) fn count(outcomes: &[Outcome]) -> Counts {
    let above = |limit| outcomes.iter().filter(|outcome| loss(outcome) > limit).count();
    Counts { above_most: above(MOST), above_some: above(SOME.0), cases: outcomes.len() }
}

/// Returns whether the default meets the bar.
pub(super) fn holds(outcomes: &[Outcome]) -> bool {
    let Counts { above_most, above_some, .. } = count(outcomes);
    above_most == 0 && above_some <= SOME.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hunt::selected;

    fn figures(p99: f64, p999: f64, errors: f64) -> Option<Figures> {
        Some(Figures { p50: 1.0, mean: 1.0, p99, p999, errors, back: None })
    }

    fn outcome(figures: Vec<Option<Figures>>) -> Outcome {
        let case = selected(&[]).expect("cases")[0];
        Outcome { case, labels: vec![String::new(); figures.len()], figures }
    }

    fn loss(figures: Vec<Option<Figures>>) -> f64 {
        super::loss(&outcome(figures))
    }

    #[test]
    fn a_loss_is_the_worst_of_p99_and_p999_and_errors() {
        let best = figures(1.0, 2.0, 0.0);
        assert!((loss(vec![figures(1.1, 2.0, 0.0), best]) - 0.1).abs() < 1e-9);
        assert!((loss(vec![figures(1.0, 3.0, 0.0), best]) - 0.5).abs() < 1e-9);
        assert!((loss(vec![figures(1.0, 2.0, 0.001), best]) - 0.25).abs() < 1e-9);
        assert!(loss(vec![figures(0.9, 1.8, 0.0), best]) < 0.0);
        assert_eq!(loss(vec![None, best]), f64::INFINITY);
    }

    #[test]
    fn each_figure_is_compared_with_the_best_in_that_figure() {
        let verdict =
            Verdict::of(&outcome(vec![figures(2.0, 2.0, 0.0), figures(1.0, 4.0, 0.0), figures(4.0, 1.0, 0.0)]));
        let verdict = verdict.expect("figures");
        assert_eq!((verdict.p99.contender, verdict.p999.contender), (1, 2));
    }

    #[test]
    fn strategies_with_more_errors_are_no_rivals_in_latency() {
        let hasty = figures(0.1, 0.1, 0.1);
        assert!(loss(vec![figures(1.0, 1.0, 0.0), hasty]) <= 0.0);
        assert!(loss(vec![figures(1.0, 1.0, 0.0995), hasty]) > 1.0);
    }

    #[test]
    fn the_bar_allows_few_small_losses_and_no_large_one() {
        let cases = |losses: &[f64]| -> Vec<Outcome> {
            losses.iter().map(|loss| outcome(vec![figures(1.0 + loss, 1.0, 0.0), figures(1.0, 1.0, 0.0)])).collect()
        };
        assert!(holds(&cases(&[0.2, 0.2, 0.2, 0.2, 0.2, 0.04, 0.04])));
        assert!(!holds(&cases(&[0.06; 6])));
        assert!(!holds(&cases(&[0.3])));
    }
}
