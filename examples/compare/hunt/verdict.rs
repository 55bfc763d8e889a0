//! What counts as a loss of the default.

use super::{
    cases::{ACCEPTED, Accepted},
    outcome::{Figures, Outcome},
};
use crate::figures::Figure;

/// The default is compared in latency only with strategies that have at most this many more errors (as a share):
/// latencies do not include requests that fail at once, so a strategy with many errors can look fast.
const ERRORS: f64 = 0.001;

/// The first part of the bar: in no case, p99 or p99.9 is worse by more than this share, or more than [`ERRORS`] more
/// requests fail.
const MOST: f64 = 0.25;
/// The second part of the bar: in at most this number of cases (the second value), p99 or p99.9 is worse by more than
/// this share (the first value).
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

    /// Returns by how much the default is worse in the worse one of p99 and p99.9, relative to the best.
    fn latency(&self) -> f64 {
        self.p99.worse().max(self.p999.worse())
    }

    /// Returns how much larger the share of errors is than with the best.
    fn more_errors(&self) -> f64 {
        self.errors.ours - self.errors.best
    }

    /// Returns by how much the default is worse in this figure: relative to the best, or a share of the requests for
    /// errors. `None` for figures that are not compared.
    fn worse_in(&self, figure: Figure) -> Option<f64> {
        match figure {
            Figure::P99 => Some(self.p99.worse()),
            Figure::P999 => Some(self.p999.worse()),
            Figure::Mean => Some(self.mean.worse()),
            Figure::Errors => Some(self.more_errors()),
            Figure::P50 | Figure::P90 => None,
        }
    }
}

/// Returns the value by which cases are ordered: the loss in latency, or that in errors if it is larger. [`ERRORS`] more
/// errors count like a latency that is worse by [`MOST`]. Infinite if the default has no figures.
pub(super) fn loss(outcome: &Outcome) -> f64 {
    Verdict::of(outcome).map_or(f64::INFINITY, |verdict| {
        let errors = verdict.more_errors() / ERRORS * MOST;
        // As few errors as others is no gain.
        verdict.latency().max(if errors > 0.0 { errors } else { f64::NEG_INFINITY })
    })
}

/// Returns the limit of a loss in this figure that is not [accepted](ACCEPTED). The mean has no limit.
fn limit(figure: Figure) -> f64 {
    match figure {
        Figure::P99 | Figure::P999 => SOME.0,
        Figure::Errors => ERRORS,
        _ => f64::INFINITY,
    }
}

/// Returns a line for each loss that is larger than accepted.
pub(super) fn new_losses(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines = Vec::new();
    for outcome in outcomes {
        let name = outcome.case.full_name();
        let Some(verdict) = Verdict::of(outcome) else {
            lines.push(format!("{name}: the default has no figures"));
            continue;
        };
        for figure in [Figure::P99, Figure::P999, Figure::Mean, Figure::Errors] {
            let accepted = ACCEPTED.iter().find(|loss| loss.case == name && loss.figure == figure);
            let most = accepted.map_or(limit(figure), |Accepted { most, .. }| *most);
            if let Some(worse) = verdict.worse_in(figure).filter(|worse| *worse > most) {
                let unit = if figure == Figure::Errors { "points" } else { "%" };
                let [worse, most] = [worse, most].map(|share| share * 100.0);
                lines.push(format!("{name}: {} is worse by {worse:.3} {unit}; the limit is {most:.3}", figure.name()));
            }
        }
    }
    lines
}

/// Returns the bar, and the number of cases above each of its limits, as a sentence.
pub(super) fn counts(outcomes: &[Outcome]) -> String {
    let above = |is_above: &dyn Fn(&Verdict) -> bool| {
        outcomes.iter().filter(|outcome| Verdict::of(outcome).is_none_or(|verdict| is_above(&verdict))).count()
    };
    let most = above(&|verdict| verdict.latency() > MOST || verdict.more_errors() > ERRORS);
    let some = above(&|verdict| verdict.latency() > SOME.0);
    format!(
        "Of {} scenarios, the default is worse by more than 25 % in p99 or p99.9, or by more than 0.1 points of errors, \
         in {most} (the bar: 0), and by more than 5 % in p99 or p99.9 in {some} (the bar: at most {}).",
        outcomes.len(),
        SOME.1
    )
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
    fn cases_are_ordered_by_the_worst_of_p99_and_p999_and_errors() {
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
    fn the_lower_limit_counts_latency_only() {
        let best = figures(1.0, 1.0, 0.0);
        let with = |p99, errors| outcome(vec![figures(p99, 1.0, errors), best]);
        let outcomes = [with(1.06, 0.0), with(1.0, 0.0009), with(1.04, 0.0), with(1.3, 0.0), with(1.0, 0.0011)];
        let counts = counts(&outcomes);
        assert!(counts.contains("in 2 (the bar: 0)"), "{counts}");
        assert!(counts.contains("in 2 (the bar: at most 5)"), "{counts}");
    }

    #[test]
    fn a_loss_is_new_if_it_is_above_the_limit_of_its_case() {
        let best = figures(1.0, 1.0, 0.0);
        let named = |name: &str, ours| {
            let case = selected(&[name.to_owned()]).expect("a case")[0];
            new_losses(&[Outcome { case, labels: vec![String::new(); 2], figures: vec![ours, best] }])
        };
        for fine in [figures(1.04, 1.04, 0.0009), figures(0.5, 0.5, 0.0)] {
            assert_eq!(named("alike/idle", fine), Vec::<String>::new());
        }
        for (worse, lines) in [(figures(1.06, 1.0, 0.0), 1), (figures(1.06, 1.06, 0.0011), 3), (None, 1)] {
            assert_eq!(named("alike/idle", worse).len(), lines, "{worse:?}");
        }
        for Accepted { case, figure, most, .. } in ACCEPTED {
            let with = |worse: f64| match figure {
                Figure::P99 => figures(1.0 + worse, 1.0, 0.0),
                Figure::P999 => figures(1.0, 1.0 + worse, 0.0),
                Figure::Errors => figures(1.0, 1.0, worse),
                _ => figures(1.0, 1.0, 0.0).map(|figures| Figures { mean: 1.0 + worse, ..figures }),
            };
            assert_eq!(named(case, with(0.99 * most)), Vec::<String>::new());
            assert_eq!(named(case, with(1.01 * most)).len(), 1, "{case}");
        }
    }
}
