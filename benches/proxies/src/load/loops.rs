//! Clients in closed loops: each one begins its next request after the response to the one before.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::{runtime, task::JoinSet, time::timeout};

use super::outcome::{Outcome, Quantiles};

/// How long a client may take for its last request after the end of the measurement.
const LAST: Duration = Duration::from_secs(10);

/// The requests of one client.
pub(super) struct Client {
    until: Instant,
    begin: Instant,
    /// Microseconds.
    latencies: Vec<u32>,
    /// Number of datagrams that were sent again.
    pub(super) repeats: u64,
}

impl Client {
    /// Begins a request. Returns its number, or `None` if the time is over.
    pub(super) fn begin(&mut self) -> Option<usize> {
        self.begin = Instant::now();
        (self.begin < self.until).then_some(self.latencies.len())
    }

    /// Ends the request that has succeeded.
    pub(super) fn end(&mut self) {
        self.latencies.push(self.begin.elapsed().as_micros().try_into().unwrap_or(u32::MAX));
    }
}

/// Runs clients on this thread. Each returns its record when the time is over.
pub(super) fn run<F>(clients: usize, seconds: u32, client: impl Fn(Client) -> F) -> anyhow::Result<Outcome>
where
    F: Future<Output = anyhow::Result<Client>> + Send + 'static,
{
    let length = Duration::from_secs(seconds.into());
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut running, begin) = (JoinSet::new(), Instant::now());
        for _ in 0..clients {
            running.spawn(client(Client { until: begin + length, begin, latencies: Vec::new(), repeats: 0 }));
        }
        let (mut latencies, mut repeats) = (Vec::new(), 0);
        while let Some(client) = timeout(length + LAST, running.join_next()).await.context("a request has no end")? {
            let client = client??;
            latencies.extend(client.latencies);
            repeats += client.repeats;
        }
        let (seconds, count) = (begin.elapsed().as_secs_f64(), latencies.len() as u64);
        let latency = Some(Quantiles::of(latencies).context("no request has succeeded")?);
        Ok(Outcome { count, seconds, latency, repeats: Some(repeats) })
    })
}
