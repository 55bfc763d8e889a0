//! A gateway with a configuration file: listeners, routes, pools with health checks and session affinity, an admin
//! interface, reloads and graceful shutdown, and the functions of API gateways, such as authentication and caching.
//! `gateway.toml` describes the file, and `uses` has one for each use. The gateway needs a Unix system.
//!
//! ```sh
//! cargo run --release --example gateway -- --config examples/gateway/gateway.toml
//! ```
//!
//! - SIGHUP reads the configuration again. If it is not valid, the old one stays, and the log says why. Connections and
//!   the state of endpoints stay. `gateway.toml` says which settings of a pool cannot change without a new pool.
//! - SIGTERM and Ctrl-C finish the requests in flight and end the process. A second signal ends it at once.
//! - With `--takeover`, a new process listens on the same ports before the old one ends (`SO_REUSEPORT`), so no
//!   connection is refused. Both processes need the flag. Start the new one, wait for its line `started`, and send
//!   SIGTERM to the old one. A connection that arrives while the old process closes its socket can be reset. On Linux,
//!   `sysctl net.ipv4.tcp_migrate_req=1` gives it to the new process. Administrative states and session tables stay in
//!   the old process, and until it ends, admin commands reach either of the two.

mod admin;
mod affinity;
mod attempts;
mod backend;
mod client;
mod conditions;
mod config;
mod connections;
mod context;
mod forward;
mod front;
mod functions;
mod gateway;
mod limits;
mod listening;
mod log;
mod plan;
mod proxies;
mod routes;
mod secrets;
mod serving;
mod site;
mod sni;
mod source;
mod tcp;
mod tls;
mod udp;
mod users;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use equipoise::monitor::live::MonitorEventKind;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::{
    config::LogFormat,
    gateway::{Checked, Gateway},
};

/// The maximum number of lines that wait to be written.
const LOG_LINES: usize = 10_000;

#[derive(Parser)]
#[command(about = "A gateway with a configuration file")]
struct Args {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
    /// Checks the configuration and ends.
    #[arg(long)]
    check: bool,
    /// Shares the ports with other gateways that have this flag too, so that a new process can take over from an old
    /// one. Without it, a port that another process uses is an error.
    #[arg(long)]
    takeover: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let ended = if args.check { check(&args.config) } else { serve(&args) };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks a configuration. The runtime runs no task, so that a store of sessions does not connect.
fn check(file: &Path) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    Checked::read(file, &Gateway::new(false))?;
    println!("{} is valid", file.display());
    Ok(())
}

fn serve(args: &Args) -> anyhow::Result<()> {
    let runtime = Runtime::new()?;
    let ended = runtime.block_on(run(args));
    // Without waiting for threads that resolve a name, which can take a minute.
    runtime.shutdown_background();
    ended
}

async fn run(args: &Args) -> anyhow::Result<()> {
    // Before the file is read, so that a signal during the start does not end the process.
    let mut signals = Signals::new()?;
    let mut gateway = Gateway::new(args.takeover);
    let checked = Checked::read(&args.config, &gateway)?;
    let _writes_the_rest_when_dropped = log_to_stderr(checked.config.log.format);
    gateway.apply(checked)?;
    tracing::info!("started");
    while signals.next_is_reload().await {
        reload(&mut gateway, &args.config);
    }
    tracing::info!("finishing the requests in flight");
    tokio::select! {
        () = gateway.shutdown() => tracing::info!("ended"),
        () = signals.ended() => tracing::warn!("ended by a second signal"),
    }
    Ok(())
}

fn reload(gateway: &mut Gateway, file: &Path) {
    let (result, detail) = match Checked::read(file, gateway).and_then(|new| gateway.apply(new)) {
        Ok(()) => ("ok", String::new()),
        Err(error) => ("failed", format!("the old configuration stays: {error}")),
    };
    // The event is logged, too.
    gateway.monitor().record(MonitorEventKind::Reloaded { result, detail });
}

/// Logs to stderr from a thread of its own, so that a slow reader of the log does not hold up requests. While
/// [`LOG_LINES`] lines wait, further ones are dropped.
fn log_to_stderr(format: LogFormat) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(LOG_LINES).finish(io::stderr());
    let log = tracing_subscriber::fmt().with_writer(writer).with_ansi(false);
    match format {
        LogFormat::Line => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
    guard
}

struct Signals {
    reload: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            reload: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal. Returns false if it asks the process to end.
    async fn next_is_reload(&mut self) -> bool {
        tokio::select! {
            _ = self.reload.recv() => true,
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
        }
    }

    /// Waits for a signal that asks the process to end.
    async fn ended(&mut self) {
        while self.next_is_reload().await {
            tracing::warn!("the configuration is not read again, because the gateway is shutting down");
        }
    }
}
