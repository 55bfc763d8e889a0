//! Formats the table of results, and writes it into docs/health.md.

use std::{fmt::Write, fs, io};

use anyhow::Context;

use crate::{faults::Fault, proxies::Proxy, run::Figures};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/health.md");
const HEADING: &str = "## On real sockets";
const BEGIN: &str = "<!-- what `faults --write` writes begins here -->";
const END: &str = "<!-- and ends here -->";

pub(crate) fn of(proxies: &[Proxy], rows: &[(&Fault, Vec<Option<Figures>>)]) -> String {
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.name()).collect();
    let mut table =
        format!("| one of three servers | {} |\n| --- |{}\n", names.join(" | "), " --- |".repeat(names.len()));
    for (fault, cells) in rows {
        let cell = |cell: &Option<Figures>| cell.as_ref().map_or("not installed".to_owned(), ToString::to_string);
        let cells: Vec<_> = cells.iter().map(cell).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {} | {} |", fault.about, cells.join(" | "));
    }
    table
}

/// Replaces the table in the document, or appends it.
pub(crate) fn write(table: &str) -> anyhow::Result<()> {
    let text = match fs::read_to_string(PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => "# Health\n".to_owned(),
        text => text.context(PATH)?,
    };
    let place = text.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let text = match place {
        Some((before, after)) => format!("{before}{BEGIN}\n\n{table}\n{END}{after}"),
        None => format!("{text}\n{HEADING}\n\n{BEGIN}\n\n{table}\n{END}\n"),
    };
    fs::write(PATH, text).context(PATH)
}
