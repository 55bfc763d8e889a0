//! Each figure that equipoise promises: what was asked, what this run measured, and whether it was kept.
//!
//! Speed is measured and never asserted: a missed figure is printed as such, and the program succeeds all the same.
//! Whatever is compared takes turns, and a ratio is the median of the ratios of single rounds, so that a machine that
//! speeds up or slows down meanwhile does so for both.

mod pick;
mod service;
mod table;

use equipoise_benches::timing::Effort;

use crate::table::Tally;

fn main() {
    // `cargo bench` says so; `cargo test --benches` does not, and only wants to see it run.
    let bench = std::env::args().any(|arg| arg == "--bench");
    let effort = if bench { Effort::FULL } else { Effort::SMOKE };
    let mut tally = Tally::default();
    pick::measure(effort, &mut tally);
    service::measure(effort, &mut tally);
    println!("\n{tally}");
}
