use equipoise_benches::{
    Kind,
    call::{bare, immediate},
    tasks::{TASKS, buffered, runtime, shared},
    timing::{Effort, arithmetic, in_turn, median_of, nanos_together},
};

use crate::table::{Outcome, Table, Tally};

/// Target for one worker, as a multiple of the throughput of tower's `Buffer`.
const TIMES_BUFFER: f64 = 3.0;

/// Minimum calibration; below it, the machine has no two free cores.
const TWO_CORES: f64 = 1.75;

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let header = ["strategy", "workers", "asked", "M calls/s", "Buffer, M calls/s", "ratio", "calibration"];
    let mut table = Table::new("64 tasks that share one `Balance`, against tower's `Buffer`", header);
    let (one, two) = (runtime(1), runtime(2));
    let buffers = [buffered(&one), buffered(&two)];
    let calls = effort.calls.max(TASKS);
    for kind in Kind::CALLED {
        let balance = bare::<u64>(immediate(kind, 10));
        let rate = |seconds: f64| calls as f64 / seconds / 1e6;
        let times = in_turn(
            effort.rounds,
            [
                &|| rate(shared(&one, calls, &balance).as_secs_f64()),
                &|| rate(shared(&two, calls, &balance).as_secs_f64()),
                &|| rate(shared(&one, calls, &buffers[0]).as_secs_f64()),
                &|| rate(shared(&two, calls, &buffers[1]).as_secs_f64()),
                &|| nanos_together(1, calls, arithmetic) / nanos_together(2, calls, arithmetic),
            ],
        );
        let calibration = median_of(&times, |[.., calibration]| calibration);
        let [ours, ours_two] = [median_of(&times, |[x, ..]| x), median_of(&times, |[_, x, ..]| x)];
        let [theirs, theirs_two] = [median_of(&times, |[_, _, x, ..]| x), median_of(&times, |[.., x, _]| x)];
        let ratio = median_of(&times, |[ours, _, theirs, ..]| ours / theirs);
        let ratio_two = median_of(&times, |[_, ours, _, theirs, _]| ours / theirs);
        let gain = median_of(&times, |[one, two, ..]| two / one);
        let cells = |workers: &str, asked: String, ours: f64, theirs: f64, ratio: f64, calibration: String| {
            let [ours, theirs, ratio] = [ours, theirs, ratio].map(|x| format!("{x:.1}"));
            [kind.to_string(), workers.to_owned(), asked, ours, theirs, ratio, calibration]
        };
        table.row(
            cells("1", format!("≥ {TIMES_BUFFER} × Buffer"), ours, theirs, ratio, String::new()),
            Outcome::of(ratio >= TIMES_BUFFER),
        );
        table.row(
            cells("2", "> one worker".into(), ours_two, theirs_two, ratio_two, format!("{calibration:.2}")),
            if calibration < TWO_CORES { Outcome::NotMeasured } else { Outcome::of(gain > 1.0) },
        );
    }
    table.print(tally);
}
