//! The figures of a pick: the pick itself, its lease, and the end of the lease with success.

mod allocations;
mod availability;
mod floors;
mod growth;
mod mostly_down;
mod one_slow;
mod one_thread;
mod two_threads;

use equipoise_benches::{Weights, timing::Effort};

use crate::table::Tally;

pub(crate) fn measure(effort: Effort, tally: &mut Tally) {
    floors::measure(effort, tally);
    for weights in Weights::ALL {
        one_thread::measure(effort, weights, tally);
    }
    one_slow::measure(effort, tally);
    growth::measure(effort, tally);
    two_threads::measure(effort, tally);
    mostly_down::measure(effort, tally);
    availability::measure(effort, tally);
    allocations::measure(tally);
}
