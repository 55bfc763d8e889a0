//! The figures of a pick: choice, lease, and its end in success.

mod allocations;
mod closed;
mod flip;
mod floors;
mod growth;
mod one_thread;
mod two_threads;

use equipoise_benches::{Weights, timing::Effort};

use crate::table::Tally;

pub(crate) fn measure(effort: Effort, tally: &mut Tally) {
    floors::measure(effort, tally);
    for weights in Weights::ALL {
        one_thread::measure(effort, weights, tally);
    }
    growth::measure(effort, tally);
    two_threads::measure(effort, tally);
    closed::measure(effort, tally);
    flip::measure(effort, tally);
    allocations::measure(tally);
}
