//! One fault behind one balancer.

use std::{fmt, time::Duration};

use tokio::time::sleep;

use crate::{
    args::Args,
    faults::{self, Fault, LASTS},
    load::{Load, epoch},
    process::Backend,
    proxies::{Proxy, Running},
};

/// What was measured during one fault.
pub(crate) struct Figures {
    pub(crate) errors: usize,
    pub(crate) requests: usize,
    /// Time of the last request to the server, from the beginning of the fault. `None` if more than one server is
    /// affected.
    pub(crate) out: Option<Out>,
    /// 99th percentile of the latency during the fault.
    pub(crate) p99: Duration,
}

#[derive(Clone, Copy)]
pub(crate) enum Out {
    After(Duration),
    Never,
}

/// How long the load runs before the fault, and again after it.
const AROUND: Duration = Duration::from_secs(1);

/// The number of clients of a closed-loop load: more than the workers of two servers.
const CLIENTS: usize = 64;

/// If the server got a request within this time before the end of the fault, the table says that it was never taken
/// out.
const TO_THE_END: Duration = Duration::from_millis(500);

pub(crate) async fn run(fault: &Fault, proxy: Proxy, args: &Args) -> anyhow::Result<Figures> {
    let mut servers = [Backend::new().await?, Backend::new().await?, Backend::new().await?];
    if matches!(fault.load, faults::Load::Saturating { .. }) {
        for server in &mut servers {
            server.turn("after 20")?;
        }
    }
    let running = Running::start(proxy, fault, &servers, &args.strategy).await?;
    let address = format!("http://127.0.0.1:{}/", running.port).parse()?;
    let load = match fault.load {
        faults::Load::Asked => Load::rate(address, args.rate),
        faults::Load::Rate(rate) => Load::rate(address, rate),
        faults::Load::Saturating { .. } => Load::closed(address, CLIENTS),
    };
    sleep(AROUND).await;
    let began = epoch();
    fault.happen(&mut servers).await?;
    let ended = epoch();
    sleep(AROUND).await;
    let samples = load.end().await;

    let during = |at: f64| (began..ended.min(began + LASTS.as_secs_f64())).contains(&at);
    let mut took: Vec<_> = samples.iter().filter(|sample| during(sample.began)).map(|sample| sample.took).collect();
    took.sort_unstable();
    let last = || -> anyhow::Result<Out> {
        let tries = running.tries(&servers[1].address())?;
        let last =
            tries.iter().filter(|one| one.to_the_faulty && during(one.began)).map(|one| one.began).reduce(f64::max);
        let last = Duration::from_secs_f64(last.map_or(0.0, |last| last - began));
        Ok(if last + TO_THE_END > LASTS { Out::Never } else { Out::After(last) })
    };
    Ok(Figures {
        errors: samples.iter().filter(|sample| !sample.well).count(),
        requests: samples.len(),
        out: if fault.has_an_end() { Some(last()?) } else { None },
        p99: took.get(took.len().saturating_sub(1) * 99 / 100).copied().unwrap_or_default(),
    })
}

impl fmt::Display for Figures {
    /// The flag `#` adds the number of requests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.errors)?;
        if f.alternate() {
            write!(f, " of {}", self.requests)?;
        }
        match self.out {
            Some(Out::After(time)) => write!(f, " / {:.2} s", time.as_secs_f64())?,
            Some(Out::Never) => write!(f, " / never")?,
            None => write!(f, " / –")?,
        }
        write!(f, " / {:.0} ms", self.p99.as_secs_f64() * 1e3)
    }
}
