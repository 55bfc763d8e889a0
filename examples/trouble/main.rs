//! The troubles of `docs/troubleshooting.md`, each caused for real on loopback, and cured.
//!
//! ```text
//! cargo run --example trouble                          the list of troubles
//! cargo run --example trouble -- first-server          what a person sees, before and after the cure
//! cargo run --example trouble -- first-server --hold   keeps the trouble, with a status page and metrics, until Ctrl-C
//! ```
//!
//! | file | content |
//! | --- | --- |
//! | `troubles.rs` | the troubles: how each is caused and cured, and what shows it |
//! | `balancer.rs` | a balancer, and what its status page, its metrics and `explain` say |
//! | `backend.rs` | the servers behind the balancer |
//! | `load.rs` | the clients |

mod backend;
mod balancer;
mod load;
#[cfg(test)]
mod tests;
mod troubles;

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};
use tokio::net::TcpListener;

use crate::{
    load::Answers,
    troubles::{Scene, Trouble},
};

/// Causes a trouble of a balancer on loopback, shows what its status page, its metrics and `explain` say, and cures it.
#[derive(Debug, Parser)]
#[command(name = "trouble")]
struct Args {
    /// The trouble; without it, the troubles are listed
    trouble: Option<Trouble>,

    /// Keeps the trouble, and serves the status page and the metrics until Ctrl-C
    #[arg(long, requires = "trouble")]
    hold: bool,

    /// With --hold: keeps the cured balancer
    #[arg(long, requires = "hold")]
    cured: bool,

    /// With --hold: the address of the status page and of the metrics; port 0 takes a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", requires = "hold")]
    listen: SocketAddr,

    /// The number of requests
    #[arg(long, value_name = "N", default_value_t = 600)]
    requests: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Some(trouble) = args.trouble else {
        for trouble in Trouble::value_variants() {
            if let Some(value) = trouble.to_possible_value() {
                println!("{:<14} {}", value.get_name(), value.get_help().map(ToString::to_string).unwrap_or_default());
            }
        }
        return Ok(());
    };
    if args.hold {
        return hold(trouble, &args).await;
    }
    println!("Cause: {}", trouble.cause());
    show(trouble, false, args.requests).await?;
    println!("\nCure: {}", trouble.cure());
    show(trouble, true, args.requests).await
}

/// Runs a scene and prints what a person sees.
async fn show(trouble: Trouble, cured: bool, requests: usize) -> anyhow::Result<()> {
    let scene = trouble.scene(cured).await?;
    let cpu_seconds = || scene.balancers[0].cpu_seconds();
    let began = cpu_seconds();
    let answers = scene.run(requests).await?;
    let ended = cpu_seconds();
    println!("\nThe clients:\n{}", indented(&seen(&answers)));
    for balancer in &scene.balancers {
        println!("The status page:\n{}", indented(&balancer.rows()));
        println!("The metrics:\n{}", indented(&balancer.metrics(trouble.metrics())?));
    }
    let (balancer, questions) = trouble.questions(&answers)?;
    for (request, balancer) in questions.iter().zip(std::iter::repeat(&scene.balancers[balancer])) {
        let headers =
            request.headers().iter().map(|(name, value)| format!(" {name}: {}", value.to_str().unwrap_or("")));
        println!("Explain GET /{}:\n{}", headers.collect::<String>(), indented(&balancer.explain(request).await));
    }
    if let (Trouble::HighCpu, Some(began), Some(ended)) = (trouble, began, ended) {
        println!("CPU time of clients, balancer and servers: {:.2} s", ended - began);
    }
    let measure = trouble.measure(&scene, &answers);
    println!("{}: {:.2}", measure.name, measure.value);
    Ok(())
}

fn seen(answers: &Answers) -> String {
    let lines = answers.counts.iter().map(|((status, server), count)| format!("{count:>5} × {status} from {server}\n"));
    let unanswered = (answers.unanswered > 0).then(|| format!("{:>5} × no answer\n", answers.unanswered));
    lines.chain(unanswered).collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// Serves the status page and the metrics of the first balancer of a scene, under load.
async fn hold(trouble: Trouble, args: &Args) -> anyhow::Result<()> {
    let scene = trouble.scene(args.cured).await?;
    let listener = TcpListener::bind(args.listen).await?;
    let address = listener.local_addr()?;
    println!("status page: http://{address}/\nmetrics:     http://{address}/metrics");
    println!("balancer:    http://{}/", scene.balancers[0].address);
    let routes = scene.balancers[0].routes();
    tokio::select! {
        served = async { axum::serve(listener, routes).await } => Ok(served?),
        ended = endless(&scene, args.requests) => ended,
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}

async fn endless(scene: &Scene, requests: usize) -> anyhow::Result<()> {
    loop {
        let answers = scene.run(requests).await?;
        println!("{}", seen(&answers).trim_end());
    }
}
