use equipoise_benches::{
    Kind, Subject, Weights,
    timing::{Effort, in_turn, median_of, nanos},
};

use crate::table::{Outcome, Table, Tally};

/// The ratio that counts as no difference, given the accuracy of the measurement.
const NOTHING: f64 = 1.1;

/// Strategies that only look at endpoints that are up must not be slower. Hashing strategies need further steps for the
/// keys of unavailable endpoints; tests limit the number of these steps, not their time.
fn asked(kind: Kind) -> Option<f64> {
    (!kind.is_keyed()).then_some(NOTHING)
}

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Nine of ten endpoints out of service, against a pool of the others alone",
        ["strategy", "endpoints", "up", "asked", "ns, mostly down", "ns, alone", "ratio"],
    );
    for kind in Kind::ALL {
        for up in [10, 100] {
            let n = 10 * up;
            let alone = Subject::new(kind, up, Weights::Equal);
            let down = Subject::mostly_down(kind, n);
            let effort = kind.effort(effort, n);
            let time = |subject: &Subject| nanos(effort.calls, || subject.pick());
            let answers = in_turn(effort.rounds, [&|| time(&alone), &|| time(&down)]);
            let ratio = median_of(&answers, |[alone, down]| down / alone);
            table.row(
                [
                    kind.to_string(),
                    n.to_string(),
                    up.to_string(),
                    asked(kind).map_or("–".into(), |asked| format!("≤ {asked}")),
                    format!("{:.1}", median_of(&answers, |[_, down]| down)),
                    format!("{:.1}", median_of(&answers, |[alone, _]| alone)),
                    format!("{ratio:.2}"),
                ],
                asked(kind).map_or(Outcome::NotAsked, |asked| Outcome::of(ratio <= asked)),
            );
        }
    }
    table.print(tally);
}
