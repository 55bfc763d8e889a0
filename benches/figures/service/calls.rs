use equipoise_benches::{
    Kind,
    call::{bare, call, get, immediate},
    timing::{Effort, in_turn, median_of, nanos},
};
use equipoise_tower::Balance;

use crate::table::{Outcome, Table, Tally};

/// Limits in nanoseconds and allocations. The first is for a call without HTTP. The second is for the addition if the
/// endpoint is named on an HTTP response. The third is for the addition if the head of the request is kept for another
/// endpoint.
const BARE: (f64, u64) = (120.0, 0);
const NAMING: (f64, u64) = (60.0, 3);
const KEEPING: (f64, u64) = (110.0, 2);

pub(super) fn measure(effort: Effort, tally: &mut Tally) {
    let header = ["strategy", "what", "asked", "ns", "allocations"];
    let mut table = Table::new("A call over a service that answers at once, its future included", header);
    for kind in Kind::CALLED {
        let (one, ten) = (immediate(kind, 1), immediate(kind, 10));
        let plain = || {
            let mut balance = bare(ten.clone());
            move || call(&mut balance, 7u64)
        };
        // Both create and drop a request, so the difference is the balancer.
        let unnamed = || {
            let mut balance = bare(one.clone());
            move || call(&mut balance, get())
        };
        let named = || {
            let mut balance = Balance::new(one.clone());
            move || call(&mut balance, get())
        };
        let kept = || {
            let mut balance = Balance::new(ten.clone());
            move || call(&mut balance, get())
        };
        let calls = effort.calls;
        let times = in_turn(
            effort.rounds,
            [&|| nanos(calls, plain()), &|| nanos(calls, unnamed()), &|| nanos(calls, named()), &|| {
                nanos(calls, kept())
            }],
        );
        let counts = [count(plain()), count(unnamed()), count(named()), count(kept())];
        let mut row = |what: &str, (most_ns, most): (f64, u64), ns: f64, count: u64| {
            let asked = format!("≤ {most_ns} ns, ≤ {most}");
            let cells = [kind.to_string(), what.to_owned(), asked, format!("{ns:.0}"), count.to_string()];
            table.row(cells, Outcome::of(ns <= most_ns && count <= most));
        };
        row("bare", BARE, median_of(&times, |[plain, ..]| plain), counts[0]);
        let ns = median_of(&times, |[_, unnamed, named, _]| named - unnamed);
        row("naming the endpoint adds", NAMING, ns, counts[2].saturating_sub(counts[1]));
        let ns = median_of(&times, |[.., named, kept]| kept - named);
        row("keeping the head adds", KEEPING, ns, counts[3].saturating_sub(counts[2]));
    }
    table.print(tally);
}

/// Counts the allocations of one call, after a first call that may initialize state.
fn count(mut call: impl FnMut()) -> u64 {
    call();
    allocation_counter::measure(call).count_total
}
