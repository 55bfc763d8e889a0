//! The lab: a balancing reverse proxy in front of real servers, on real sockets.
//!
//! ```text
//! cargo run --example lab                  the whole story, on loopback, in a quarter of a minute
//! cargo run --example lab -- --help        everything else
//! ```
//!
//! | file | what it is |
//! | --- | --- |
//! | `acts.rs` | the story: alternation, a server killed under load, the reckoning |
//! | `sessions.rs` | its act with sessions: visitors keep their server, and move once when it dies |
//! | `health.rs` | its act with health checks: nobody has to fail on the killed server, and it returns slowly |
//! | `proxy.rs`, `headers.rs` | the reverse proxy: where the library is at work |
//! | `backend.rs` | a server that can be killed and started again |
//! | `load.rs` | clients with keep-alive connections |
//! | `report.rs` | the table and the checks |
//! | `yours.rs` | the same proxy before your own servers, and `--serve` |

mod acts;
mod args;
mod backend;
mod headers;
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
            eprintln!("the lab could not go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}
