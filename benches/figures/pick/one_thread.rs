use std::fmt;

use equipoise_benches::{
    Kind, SIZES, Subject, Weights,
    floor::{FloorA, floor_b},
    timing::{Effort, in_turn, median_of, nanos},
};

use crate::table::{Outcome, Table, Tally};

/// A limit in multiples of the floors.
#[derive(Clone, Copy)]
struct Floors {
    a: f64,
    b: f64,
}

impl fmt::Display for Floors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.b {
            0.0 => write!(f, "{} A", self.a),
            b => write!(f, "{b} B + {} A", self.a),
        }
    }
}

/// Returns the limit of a pick, or `None` without a limit.
fn asked(kind: Kind, n: usize, weights: Weights) -> Option<Floors> {
    // With unequal weights, the two weighted draws may cost one more floor A.
    let more = if weights == Weights::Cycling { 1.0 } else { 0.0 };
    let (a, b) = match (kind, n) {
        (Kind::RoundRobin | Kind::Random, _) => (3.0, 0.0),
        (Kind::P2c, ..=100) => (4.0 + more, 0.0),
        (Kind::P2c, ..=1_000) => (6.0 + more, 0.0),
        (Kind::P2c, _) => (9.0 + more, 0.0),
        (Kind::PeakEwma, ..=100) => (4.0 + more, 2.0),
        (Kind::LogEwma, 10) => (3.0 + more, 2.0),
        (Kind::LeastConnections, 10) => (6.0, 0.0),
        (Kind::LeastConnections, 10_000) => (11.0, 0.0),
        (Kind::Maglev, 1_000) => (3.0, 0.0),
        _ => return None,
    };
    Some(Floors { a, b })
}

pub(super) fn measure(effort: Effort, weights: Weights, tally: &mut Tally) {
    let title = match weights {
        Weights::Equal => "One thread, equal weights",
        Weights::Cycling => "One thread, weights 1, 2, 3",
    };
    let mut table = Table::new(title, ["strategy", "endpoints", "asked", "ns", "in A", "of what was asked"]);
    for kind in Kind::ALL {
        for n in SIZES {
            let (floor, subject) = (FloorA::new(n), Subject::new(kind, n, weights));
            let effort = kind.effort(effort, n);
            let time_a = || nanos(effort.calls, || floor.run());
            let time_b = || nanos(effort.calls, floor_b);
            let time = || nanos(effort.calls, || subject.pick());
            let answers = in_turn(effort.rounds, [&time_a, &time_b, &time]);
            let asked = asked(kind, n, weights);
            let part = asked.map(|asked| median_of(&answers, |[a, b, pick]| pick / (asked.a * a + asked.b * b)));
            table.row(
                [
                    kind.to_string(),
                    n.to_string(),
                    asked.map_or("–".into(), |asked| format!("≤ {asked}")),
                    format!("{:.1}", median_of(&answers, |[_, _, pick]| pick)),
                    format!("{:.2}", median_of(&answers, |[a, _, pick]| pick / a)),
                    part.map_or("–".into(), |part| format!("{part:.2}")),
                ],
                part.map_or(Outcome::NotAsked, |part| Outcome::of(part <= 1.0)),
            );
        }
    }
    table.print(tally);
}
