//! All performance targets of equipoise: the target, the figure of this run, and whether the target was met.
//!
//! Speed is not asserted: a missed target is printed, and the program still succeeds. Compared subjects alternate, and
//! a ratio is the median of the ratios of single rounds, so that changes in the speed of the machine affect both.

mod pick;
mod service;
mod table;

use equipoise_benches::timing::Effort;

use crate::table::Tally;

fn main() {
    // `cargo bench` passes `--bench`. `cargo test --benches` does not, and only needs a short run.
    let bench = std::env::args().any(|arg| arg == "--bench");
    let effort = if bench { Effort::FULL } else { Effort::SMOKE };
    let mut tally = Tally::default();
    pick::measure(effort, &mut tally);
    service::measure(effort, &mut tally);
    println!("\n{tally}");
}
