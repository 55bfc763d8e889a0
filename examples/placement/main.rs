//! Prints the endpoint of each key. A tool to inspect strategies without servers.
//!
//! ```text
//! seq 5 | cargo run --release --example placement -- maglev --endpoint a:80 --endpoint b:80=2
//! cargo run --release --example placement -- --list
//! cargo run --release --example placement -- --help
//! ```

mod absence;
mod args;
mod pools;
mod sample;
mod summary;

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, BufReader, BufWriter, ErrorKind, Write},
    process::ExitCode,
};

use clap::Parser;
use equipoise::{EndpointId, EndpointSpec, StrategySpec, strategy::by_name};

use crate::{args::Args, summary::Summary};

/// Size of the buffers for input and output.
const BUFFER: usize = 1 << 16;

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    let result = match &args.strategy {
        Some(strategy) if !args.list => place(&args, strategy, &mut out),
        _ => list(&mut out).map_err(Failure::from),
    };
    // Results before an error are printed too.
    match result.and_then(|()| out.flush().map_err(Failure::from)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe, for example `head`.
        Err(Failure::Io(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = out.flush();
            eprintln!("placement: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for strategy in by_name::all() {
        writeln!(out, "{strategy}\n    {}", strategy.about())?;
        for parameter in strategy.parameters() {
            let (name, about) = (parameter.name(), parameter.about());
            writeln!(out, "    {name}: {about}; {} ({})", parameter.kind(), described(parameter.preset()))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "STRATEGY is any of these, nested at most {} deep.", by_name::MAX_DEPTH)
}

fn described(preset: by_name::Preset) -> String {
    match preset {
        by_name::Preset::Required => "required".to_owned(),
        preset => format!("default {preset}"),
    }
}

fn place(args: &Args, strategy: &StrategySpec, out: &mut impl Write) -> Result<(), Failure> {
    let endpoints = endpoints(args);
    let down: HashSet<EndpointId> = args.down.iter().map(EndpointId::from).collect();
    let make = || pools::pool(strategy, &endpoints, &down, args.seed);
    let pool = make().unwrap_or_else(|error| Args::refuse(error));
    let mut summary = args.summary.then(|| Summary::new(strategy, pool.endpoints(), args.seed));

    let mut input = BufReader::with_capacity(BUFFER, io::stdin().lock());
    let mut line = Vec::new();
    for number in 1u64.. {
        // The sender of the next line may wait for these results.
        if !input.buffer().contains(&b'\n') {
            out.flush()?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let key = without_end(&line);
        let lease = pool.pick(&pools::request(key)).map_err(|error| Failure::Nobody { number, error })?;
        match &mut summary {
            Some(summary) => summary.count(key, lease.endpoint().id()),
            None => writeln!(out, "{}", lease.endpoint().id())?,
        }
    }
    if let Some(summary) = summary {
        summary.print(make, out)?;
    }
    Ok(())
}

/// Returns the endpoints with their zones. Options for unknown endpoints are refused.
fn endpoints(args: &Args) -> Vec<EndpointSpec> {
    let known: HashSet<&EndpointId> = args.endpoints.iter().map(EndpointSpec::id).collect();
    let refuse_unknown = |id: &EndpointId, what: &str| {
        if !known.contains(id) {
            let known: Vec<&str> = args.endpoints.iter().map(|spec| spec.id().as_str()).collect();
            Args::refuse(format!("{id} cannot be {what}: the endpoints are {}", known.join(", ")));
        }
    };
    args.down.iter().for_each(|id| refuse_unknown(&id.into(), "down"));
    args.zones.iter().for_each(|(id, zone)| refuse_unknown(id, &format!("in zone {zone}")));
    let zones: HashMap<&EndpointId, &String> = args.zones.iter().map(|(id, zone)| (id, zone)).collect();
    let zoned = |spec: &EndpointSpec| match zones.get(spec.id()) {
        Some(zone) => spec.clone().zone(zone),
        None => spec.clone(),
    };
    args.endpoints.iter().map(zoned).collect()
}

/// Removes the end of a line: LF or CR LF, or nothing at the end of the input.
fn without_end(line: &[u8]) -> &[u8] {
    match line.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => line,
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("line {number}: {error}")]
    Nobody { number: u64, error: equipoise::PickError },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_line_is_stripped() {
        for (line, key) in
            [("a \n", "a "), ("a\r\n", "a"), ("a\r\r\n", "a\r"), ("a\r", "a\r"), ("\n", ""), ("\r\n", "")]
        {
            assert_eq!(without_end(line.as_bytes()), key.as_bytes(), "{line:?}");
        }
    }
}
