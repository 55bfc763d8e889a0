use equipoise_benches::{
    Kind, Subject, Weights,
    timing::{Effort, in_turn, median_of, nanos},
};

use crate::table::{Outcome, Table, Tally};

const SMALL: usize = 10;
const LARGE: usize = 10_000;

/// With a thousand times as many endpoints, the logarithm of their number is four times as large. Effects of caches are
/// part of the measurement.
const LOGARITHMIC: f64 = 4.0;

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Growth from 10 to 10 000 endpoints: at most logarithmic",
        ["strategy", "weights", "asked", "ns, 10", "ns, 10 000", "factor"],
    );
    for kind in Kind::ALL {
        for weights in Weights::ALL {
            let (small, large) = (Subject::new(kind, SMALL, weights), Subject::new(kind, LARGE, weights));
            let time = |subject: &Subject, n| nanos(kind.effort(effort, n).calls, || subject.pick());
            let answers = in_turn(effort.rounds, [&|| time(&small, SMALL), &|| time(&large, LARGE)]);
            let factor = median_of(&answers, |[small, large]| large / small);
            table.row(
                [
                    kind.to_string(),
                    weights.to_string(),
                    if kind.is_linear() { "–, O(n)".into() } else { format!("≤ {LOGARITHMIC}") },
                    format!("{:.1}", median_of(&answers, |[small, _]| small)),
                    format!("{:.1}", median_of(&answers, |[_, large]| large)),
                    format!("{factor:.2}"),
                ],
                if kind.is_linear() { Outcome::NotAsked } else { Outcome::of(factor <= LOGARITHMIC) },
            );
        }
    }
    table.print(tally);
}
