//! Sends requests over HTTP with wrk or h2load.

use std::{fs, net::SocketAddr, process::Command};

use anyhow::{Context, ensure};

use super::outcome::{Outcome, Quantiles};

pub(super) fn wrk(
    address: SocketAddr,
    seconds: u32,
    connections: u32,
    path: &str,
    body: usize,
    tls: bool,
    field: Option<&str>,
) -> anyhow::Result<Outcome> {
    let scheme = if tls { "https" } else { "http" };
    let mut wrk = Command::new("wrk");
    wrk.arg("-t1").arg(format!("-c{connections}")).arg(format!("-d{seconds}s"));
    wrk.args(["-s", concat!(env!("CARGO_MANIFEST_DIR"), "/wrk.lua")]).arg(format!("{scheme}://{address}/{path}"));
    wrk.args(field.into_iter().flat_map(|field| ["-H", field]));
    wrk.arg("--").arg(body.to_string());
    let output = output(&mut wrk)?;
    // The script prints: requests, microseconds, p50, p99, failures.
    let line = output.lines().last().context("wrk has printed nothing")?;
    let numbers: Result<Vec<f64>, _> = line.split(' ').map(str::parse).collect();
    let numbers = numbers.with_context(|| format!("wrk has printed {line:?}"))?;
    let [requests, micros, p50, p99, failures] = numbers[..] else { anyhow::bail!("wrk has printed {line:?}") };
    ensure!(failures == 0.0 && requests > 0.0, "{failures} of {requests} requests have failed");
    let latency = Some(Quantiles { p50, p99 });
    Ok(Outcome { count: requests as u64, seconds: micros / 1e6, latency, repeats: None })
}

pub(super) fn h2load(address: SocketAddr, seconds: u32, connections: u32, streams: u32) -> anyhow::Result<Outcome> {
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
    let count = latencies.len() as u64;
    let latency = Some(Quantiles::of(latencies).context("no request has succeeded")?);
    Ok(Outcome { count, seconds: seconds.into(), latency, repeats: None })
}

fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} cannot be started; is it installed?"))?;
    ensure!(output.status.success(), "{name} has failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
