use equipoise_benches::{
    Kind, Subject, Weights,
    timing::{Effort, arithmetic, in_turn, median_of, nanos_together},
};

use crate::table::{Outcome, Table, Tally};

/// Minimum multiple of two threads of pure arithmetic. Below it, the machine has no two free cores, and other
/// measurements with two threads are meaningless.
const CALIBRATED: f64 = 1.75;

/// Number of attempts to measure a figure if the calibration fails.
const ATTEMPTS: usize = 4;

/// Returns the minimum throughput of two threads, in multiples of one thread.
fn asked(kind: Kind, n: usize) -> Option<f64> {
    match (kind, n) {
        // Exact round robin needs one shared counter.
        (Kind::RoundRobin, _) => Some(0.45),
        (Kind::LogEwma, _) => Some(0.9),
        (Kind::Random | Kind::P2c | Kind::PeakEwma, ..=10) => Some(0.8),
        (Kind::Random | Kind::P2c | Kind::PeakEwma, _) => Some(1.2),
        _ => None,
    }
}

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new(
        "Two threads sharing one pool, in multiples of one thread's throughput",
        ["strategy", "endpoints", "asked", "ns, one thread", "ns, two together", "multiple", "calibration"],
    );
    for kind in Kind::ALL {
        for n in [10, 1_000] {
            let subject = Subject::new(kind, n, Weights::Equal);
            let effort = kind.effort(effort, n);
            let calibrate = |threads| nanos_together(threads, effort.calls, arithmetic);
            let time = |threads| nanos_together(threads, effort.calls, || subject.pick());
            let attempt = || {
                let answers = in_turn(effort.rounds, [&|| calibrate(1), &|| calibrate(2), &|| time(1), &|| time(2)]);
                (median_of(&answers, |[one, two, ..]| one / two), answers)
            };
            // Tries again: load of other machines on the same host may be over by then.
            let (calibration, answers) = (1..ATTEMPTS)
                .map(|_| attempt())
                .find(|&(calibration, _)| calibration >= CALIBRATED)
                .unwrap_or_else(attempt);
            let multiple = median_of(&answers, |[.., one, two]| one / two);
            table.row(
                [
                    kind.to_string(),
                    n.to_string(),
                    asked(kind, n).map_or("–".into(), |asked| format!("≥ {asked}")),
                    format!("{:.1}", median_of(&answers, |[.., one, _]| one)),
                    format!("{:.1}", median_of(&answers, |[.., two]| two)),
                    format!("{multiple:.2}"),
                    format!("{calibration:.2}"),
                ],
                match asked(kind, n) {
                    None => Outcome::NotAsked,
                    Some(_) if calibration < CALIBRATED => Outcome::NotMeasured,
                    Some(asked) => Outcome::of(multiple >= asked),
                },
            );
        }
    }
    table.print(tally);
}
