//! The lab: a balancing reverse proxy in front of real servers, on real sockets.
//!
//! ```text
//! cargo run --example lab                  all acts, on loopback, in about 15 s
//! cargo run --example lab -- --help        everything else
//! ```
//!
//! | file | content |
//! | --- | --- |
//! | `acts.rs` | the acts: nine requests, a server killed under load, the report |
//! | `sessions.rs` | the act with sessions: visitors keep their server, and move once when it dies |
//! | `health.rs` | the act with health checks: no request fails at the killed server, and its share rises slowly afterwards |
//! | `proxy.rs` | the reverse proxy, made of the library's parts |
//! | `backend.rs` | a server that can be killed and started again |
//! | `load.rs` | clients with keep-alive connections |
//! | `report.rs` | the table and the checks |
//! | `yours.rs` | the same proxy in front of your own servers, and `--serve` |

mod acts;
mod args;
mod backend;
mod health;
mod load;
mod proxy;
mod report;
mod sessions;
mod yours;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    args.refuse_duplicates();
    let listener = args.bind().await;
    let outcome = match (args.serve, args.backends.is_empty()) {
        (true, _) => yours::serve(&args, listener).await,
        (false, true) => acts::play(&args, listener).await,
        (false, false) => yours::load(&args, listener).await,
    };
    match outcome {
        Ok(checks) if checks.all_hold() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the lab failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
