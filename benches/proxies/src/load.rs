//! Sends requests with wrk or h2load.

use std::{fs, net::SocketAddr, process::Command};

use anyhow::{Context, ensure};

#[derive(Clone, Copy)]
pub(crate) enum Load {
    /// `body` is the length of the requests' bodies in bytes.
    Http1 {
        connections: u32,
        path: &'static str,
        body: usize,
    },
    Http2 {
        connections: u32,
        streams: u32,
    },
}

pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Load {
    /// Sends requests for `seconds`. A request that fails is an error.
    pub(crate) fn run(self, address: SocketAddr, seconds: u32) -> anyhow::Result<Outcome> {
        match self {
            Self::Http1 { connections, path, body } => wrk(address, seconds, connections, path, body),
            Self::Http2 { connections, streams } => h2load(address, seconds, connections, streams),
        }
    }
}

fn wrk(address: SocketAddr, seconds: u32, connections: u32, path: &str, body: usize) -> anyhow::Result<Outcome> {
    let mut wrk = Command::new("wrk");
    wrk.arg("-t1").arg(format!("-c{connections}")).arg(format!("-d{seconds}s"));
    wrk.args(["-s", concat!(env!("CARGO_MANIFEST_DIR"), "/wrk.lua")]).arg(format!("http://{address}/{path}"));
    wrk.arg("--").arg(body.to_string());
    let output = output(&mut wrk)?;
    // The script prints: requests, microseconds, p50, p99, failures.
    let line = output.lines().last().context("wrk has printed nothing")?;
    let numbers: Result<Vec<f64>, _> = line.split(' ').map(str::parse).collect();
    let numbers = numbers.with_context(|| format!("wrk has printed {line:?}"))?;
    let [requests, micros, p50, p99, failures] = numbers[..] else { anyhow::bail!("wrk has printed {line:?}") };
    ensure!(failures == 0.0 && requests > 0.0, "{failures} of {requests} requests have failed");
    Ok(Outcome { requests: requests as u64, seconds: micros / 1e6, p50, p99 })
}

fn h2load(address: SocketAddr, seconds: u32, connections: u32, streams: u32) -> anyhow::Result<Outcome> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("log");
    let mut h2load = Command::new("h2load");
    h2load.arg("-t1").arg(format!("-c{connections}")).arg(format!("-m{streams}")).arg(format!("-D{seconds}"));
    h2load.arg("--log-file").arg(&log).arg(format!("http://{address}/small"));
    let output = output(&mut h2load)?;
    ensure!(output.contains(" 0 failed, 0 errored, 0 timeout"), "requests have failed: {output}");
    // Of each request: when it began, its status, and how long it took, in microseconds.
    let log = fs::read_to_string(log)?;
    let mut latencies = Vec::new();
    for line in log.lines() {
        let mut fields = line.split('\t').skip(1);
        ensure!(fields.next() == Some("200"), "a request has failed: {line}");
        latencies.push(fields.next().context("a line without a time")?.parse::<u32>()?);
    }
    latencies.sort_unstable();
    let at = |quantile: f64| latencies.get((latencies.len() as f64 * quantile) as usize).copied().map(f64::from);
    let (p50, p99) = at(0.5).zip(at(0.99)).context("no request has succeeded")?;
    Ok(Outcome { requests: latencies.len() as u64, seconds: seconds.into(), p50, p99 })
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} cannot be started; is it installed?"))?;
    ensure!(output.status.success(), "{name} has failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
