//! All performance targets of equipoise: the target, the figure of this run, and whether the target was met.
//!
//! Speed is not asserted: a missed target is printed, and the program still succeeds. Compared subjects alternate, and
//! a ratio is the median of the ratios of single rounds, so that changes in the speed of the machine affect both.

mod monitor;
mod pick;
mod service;
mod table;

use equipoise_benches::timing::Effort;

use crate::table::Tally;

/// Measures a section, and prints its tables.
type Measure = fn(Effort, &mut Tally);

fn main() {
    // `cargo bench` passes `--bench`. `cargo test --benches` does not, and only needs a short run.
    let bench = std::env::args().any(|arg| arg == "--bench");
    let effort = if bench { Effort::FULL } else { Effort::SMOKE };
    let mut tally = Tally::default();
    // Only the sections that are named by arguments, or all.
    let named: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let sections: [(&str, Measure); 3] =
        [("pick", pick::measure), ("service", service::measure), ("monitor", monitor::measure)];
    for (_, measure) in sections.iter().filter(|(name, _)| named.is_empty() || named.iter().any(|arg| arg == name)) {
        measure(effort, &mut tally);
    }
    println!("\n{tally}");
}
