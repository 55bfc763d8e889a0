use equipoise_benches::{
    Kind, Weights, pick, pool,
    timing::{Effort, arithmetic, in_turn, median_of, nanos_together},
};

use crate::table::{Outcome, Table, Tally};

/// A machine on which two threads of arithmetic do less than this, times one, has no two cores to spare: what two
/// threads of anything else do there says nothing.
const CALIBRATED: f64 = 1.75;

/// How often a figure is tried on a machine that is not calibrated.
const ATTEMPTS: usize = 4;

/// The least that two threads should do together, in multiples of what one does.
fn asked(kind: Kind, n: usize) -> f64 {
    match (kind, n) {
        // Exact turns need one counter.
        (Kind::RoundRobin, _) => 0.45,
        (_, ..=10) => 0.8,
        _ => 1.2,
    }
}

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Two threads sharing one pool, in multiples of one thread's throughput",
        ["strategy", "endpoints", "asked", "ns, one thread", "ns, two together", "multiple", "calibration"],
    );
    for kind in Kind::ALL {
        for n in [10, 1_000] {
            let pool = pool(kind, n, Weights::Equal);
            let calibrate = |threads| nanos_together(threads, effort.calls, arithmetic);
            let time = |threads| nanos_together(threads, effort.calls, || pick(&pool));
            let attempt = || {
                let answers = in_turn(effort.rounds, [&|| calibrate(1), &|| calibrate(2), &|| time(1), &|| time(2)]);
                (median_of(&answers, |[one, two, ..]| one / two), answers)
            };
            // A neighbour's burst passes.
            let (calibration, answers) = (1..ATTEMPTS)
                .map(|_| attempt())
                .find(|&(calibration, _)| calibration >= CALIBRATED)
                .unwrap_or_else(attempt);
            let multiple = median_of(&answers, |[.., one, two]| one / two);
            table.row(
                [
                    kind.to_string(),
                    n.to_string(),
                    format!("≥ {}", asked(kind, n)),
                    format!("{:.1}", median_of(&answers, |[.., one, _]| one)),
                    format!("{:.1}", median_of(&answers, |[.., two]| two)),
                    format!("{multiple:.2}"),
                    format!("{calibration:.2}"),
                ],
                if calibration < CALIBRATED { Outcome::NotMeasured } else { Outcome::of(multiple >= asked(kind, n)) },
            );
        }
    }
    table.print(tally);
}
