use equipoise_benches::{
    SIZES,
    floor::{FloorA, floor_b},
    timing::{Effort, in_turn, median, nanos},
};

use crate::table::{Outcome, Table, Tally};

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let mut table = Table::new("Floors", ["floor", "endpoints", "ns"]);
    for n in SIZES {
        let floor = FloorA::new(n);
        let [times] = in_turn(effort.rounds, [&|| nanos(effort.calls, || floor.run())]);
        table.row(
            ["A: load, count, index, clone".into(), n.to_string(), format!("{:.1}", median(times))],
            Outcome::NotAsked,
        );
    }
    let [times] = in_turn(effort.rounds, [&|| nanos(effort.calls, floor_b)]);
    table.row(["B: the clock".into(), String::new(), format!("{:.1}", median(times))], Outcome::NotAsked);
    table.print(tally);
}
