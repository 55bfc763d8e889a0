use equipoise_benches::{
    Kind, Weights, mostly_closed, pick, pool,
    timing::{Effort, in_turn, median_of, nanos},
};

use crate::table::{Outcome, Table, Tally};

/// "Nothing", as far as a measurement can tell.
const NOTHING: f64 = 1.1;

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Nine of ten endpoints out of service, against a pool of the others alone",
        ["strategy", "endpoints", "open", "asked", "ns, mostly closed", "ns, alone", "ratio"],
    );
    for kind in Kind::ALL {
        for open in [10, 100] {
            let n = 10 * open;
            let (alone, closed) = (pool(kind, open, Weights::Equal), mostly_closed(kind, n));
            let time = |pool| nanos(effort.calls, || pick(pool));
            let answers = in_turn(effort.rounds, [&|| time(&alone), &|| time(&closed)]);
            let ratio = median_of(&answers, |[alone, closed]| closed / alone);
            table.row(
                [
                    kind.to_string(),
                    n.to_string(),
                    open.to_string(),
                    format!("≤ {NOTHING}"),
                    format!("{:.1}", median_of(&answers, |[_, closed]| closed)),
                    format!("{:.1}", median_of(&answers, |[alone, _]| alone)),
                    format!("{ratio:.2}"),
                ],
                Outcome::of(ratio <= NOTHING),
            );
        }
    }
    table.print(tally);
}
