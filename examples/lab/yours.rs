//! The proxy in front of the user's servers, and `--serve`.

use std::time::Duration;

use equipoise::{EndpointSpec, Pool};
use tokio::{net::TcpListener, sync::mpsc, time::interval};

use crate::{
    acts,
    args::Args,
    load::{Answer, Load, Sample},
    proxy::{self, Exchange},
    report::{Checks, Report, millis},
};

/// Requests per second. The rate is low, so that there is time to kill a server by hand.
const RATE: u32 = 100;

/// Sends load through the proxy to the user's servers.
pub(crate) async fn load(args: &Args, listener: TcpListener) -> anyhow::Result<Checks> {
    let proxy = listener.local_addr()?;
    let pool = Pool::new(args.strategy.build());
    proxy::set_endpoints(&pool, args.backends.iter().map(EndpointSpec::new))?;
    let affinity = args.affinity_over(&pool)?;
    tokio::spawn(proxy::serve(listener, pool, Some(affinity), None));
    println!("proxy on {proxy} in front of {}, by {}", args.backends.join(" and "), args.strategy);
    println!(
        "{} requests, {RATE} a second. The lab stops none of your servers: kill one yourself and watch.",
        args.requests
    );

    let mut report = Report::new(args.backends.clone(), &["requests"]);
    let mut load = Load::start(proxy, RATE, args.requests.into());
    let mut second = interval(Duration::from_secs(1));
    second.tick().await;
    let mut so_far = vec![0; args.backends.len()];
    for seconds in 1.. {
        let over = loop {
            tokio::select! {
                _ = second.tick() => break false,
                sample = load.next() => match sample {
                    Some(sample) => report.add(0, sample),
                    None => break true,
                },
            }
        };
        if over {
            break;
        }
        let served = |(backend, before): (&String, &mut usize)| {
            let now = report.served(0, backend);
            format!("{backend} {:>3}", now - std::mem::replace(before, now))
        };
        let lately: Vec<String> = args.backends.iter().zip(&mut so_far).map(served).collect();
        println!("  {seconds:>3} s  {}", lately.join("   "));
    }

    let (total, fine) = report.answered(|status| !status.is_server_error());
    let mut checks = Checks::default();
    checks.demand(format!("every request got an answer below 500: {fine} of {total}"), fine == total);
    println!("\n{report}\n{checks}");
    Ok(checks)
}

/// Keeps the proxy up until Ctrl-C, and prints each request.
pub(crate) async fn serve(args: &Args, listener: TcpListener) -> anyhow::Result<Checks> {
    let proxy = listener.local_addr()?;
    // The servers of the lab end when these values are dropped.
    let (_own, specs) = match args.backends.as_slice() {
        [] => acts::start_three()?,
        backends => (Vec::new(), backends.iter().map(EndpointSpec::new).collect()),
    };
    let servers = specs.iter().map(|spec| spec.id().to_string()).collect();
    println!("proxy on http://{proxy}, by {}, in front of", args.strategy);
    for spec in &specs {
        let name = if spec.id().as_str() == spec.address() { String::new() } else { format!("{} at ", spec.id()) };
        println!("  {name}http://{}", spec.address());
    }
    println!("Ctrl-C ends it.\n");
    let pool = Pool::new(args.strategy.build());
    proxy::set_endpoints(&pool, specs)?;
    let (log, mut exchanges) = mpsc::unbounded_channel();
    let affinity = args.affinity_over(&pool)?;
    tokio::spawn(proxy::serve(listener, pool, Some(affinity), Some(log)));

    let mut report = Report::new(servers, &["requests"]);
    let mut end = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            ended = &mut end => {
                ended?;
                break;
            }
            Some(exchange) = exchanges.recv() => {
                tell(&exchange);
                report.add(0, exchange.into());
            }
        }
    }
    println!("\n{report}");
    Ok(Checks::default())
}

fn tell(exchange: &Exchange) {
    let Exchange { peer, method, path, status, served_by, tries, latency } = exchange;
    let peer = peer.map_or_else(|| "?".to_owned(), |peer| peer.to_string());
    let server = served_by.as_deref().unwrap_or("none");
    let tries = if *tries > 1 { format!(" ({tries} tries)") } else { String::new() };
    println!("{peer}  {method} {path}  {}  by {server}{tries}  {}", status.as_u16(), millis(*latency));
}

impl From<Exchange> for Sample {
    fn from(exchange: Exchange) -> Self {
        let Exchange { status, served_by, tries, latency, .. } = exchange;
        let answer = Answer { status, served_by, tries, set_cookie: None, body: String::new() };
        Self { phases: (0, 0), outcome: Ok(answer), latency }
    }
}
