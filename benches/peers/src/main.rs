//! Compares picks, calls and builds of equipoise with those of other libraries, in one table.
//!
//! Compared subjects alternate, and a ratio is the median of the ratios of single rounds, as in the bench `figures`.
//! Arguments select sections; without arguments, all run.

mod hashing;
mod pingora;
mod race;
mod subject;
mod tower;
mod volo;

use crate::race::Table;

/// The name of a section, and the function that fills the table.
type Section = (&'static str, fn(&mut Table));

const SECTIONS: [Section; 4] =
    [("pingora", pingora::measure), ("hashing", hashing::measure), ("volo", volo::measure), ("tower", tower::measure)];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|&name| SECTIONS.iter().all(|(known, _)| known != name)) {
        eprintln!("unknown section {unknown:?}; the sections are {:?}", SECTIONS.map(|(name, _)| name));
        std::process::exit(2);
    }
    let mut table = Table::default();
    for (name, measure) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure(&mut table);
        }
    }
    print!("{table}");
}
