use equipoise_benches::{
    Kind, Subject, Weights,
    timing::{Effort, in_turn, median_of, nanos},
};

use crate::table::{Outcome, Table, Tally};

/// "Nothing", as far as a measurement can tell.
const NOTHING: f64 = 1.1;

/// Who looks at the open endpoints only pays nothing. Who places keys must ask others for those of a closed endpoint;
/// there the tests promise a number of steps, not a time.
fn asked(kind: Kind) -> Option<f64> {
    (!kind.is_keyed()).then_some(NOTHING)
}

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Nine of ten endpoints out of service, against a pool of the others alone",
        ["strategy", "endpoints", "open", "asked", "ns, mostly closed", "ns, alone", "ratio"],
    );
    for kind in Kind::ALL {
        for open in [10, 100] {
            let n = 10 * open;
            let alone = Subject::new(kind, open, Weights::Equal);
            let closed = Subject::mostly_closed(kind, n);
            let effort = kind.effort(effort, n);
            let time = |subject: &Subject| nanos(effort.calls, || subject.pick());
            let answers = in_turn(effort.rounds, [&|| time(&alone), &|| time(&closed)]);
            let ratio = median_of(&answers, |[alone, closed]| closed / alone);
            table.row(
                [
                    kind.to_string(),
                    n.to_string(),
                    open.to_string(),
                    asked(kind).map_or("–".into(), |asked| format!("≤ {asked}")),
                    format!("{:.1}", median_of(&answers, |[_, closed]| closed)),
                    format!("{:.1}", median_of(&answers, |[alone, _]| alone)),
                    format!("{ratio:.2}"),
                ],
                asked(kind).map_or(Outcome::NotAsked, |asked| Outcome::of(ratio <= asked)),
            );
        }
    }
    table.print(tally);
}
