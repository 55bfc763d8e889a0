use equipoise_benches::{Kind, SIZES, Subject, Weights};

use crate::table::{Outcome, Table, Tally};

const PICKS: u64 = 10_000;

pub(super) fn measure(tally: &mut Tally) {
    let mut table = Table::new("Allocations", ["strategy", "picks", "asked", "allocations"]);
    for kind in Kind::ALL {
        let up = SIZES.into_iter().flat_map(|n| Weights::ALL.map(|weights| Subject::new(kind, n, weights)));
        let subjects: Vec<_> = up.chain([Subject::mostly_down(kind, 100)]).collect();
        // The first pick of a thread initializes thread-local state.
        subjects.iter().for_each(Subject::pick);
        let count = allocation_counter::measure(|| {
            for subject in &subjects {
                (0..PICKS).for_each(|_| subject.pick());
            }
        });
        let picks = PICKS * subjects.len() as u64;
        table.row(
            [kind.to_string(), picks.to_string(), "0".into(), count.count_total.to_string()],
            Outcome::of(count.count_total == 0),
        );
    }
    table.print(tally);
}
