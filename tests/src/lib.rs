//! Real backends for the tests, on loopback sockets, and a strategy that tells what it was told.
//!
//! - [`Backend`]: an HTTP server (HTTP/1.1, and HTTP/2 for clients that begin with it) that stops like a killed process
//!   and comes back on the same port.
//! - [`Scripted`]: a TCP server that does on each connection what the test says, such as breaking off in the middle.
//! - [`Reserved`]: an address that refuses connections.
//! - [`Recorder`]: a strategy whose choices are foreseeable and that records leases and verdicts.
//!
//! Nothing here sleeps: whoever waits, waits for the event.

mod backend;
mod recorder;
mod reserved;
mod scripted;

pub use crate::{
    backend::{Answer, Backend, Seen},
    recorder::{Log, Recorder},
    reserved::Reserved,
    scripted::{Peer, Scripted},
};

use std::time::Duration;

use tokio::time::timeout;

/// Awaits what must happen; the bound only turns a hang into a failure.
///
/// # Panics
///
/// When it has not happened after a minute.
pub async fn soon<F: Future>(event: F) -> F::Output {
    timeout(Duration::from_secs(60), event).await.expect("it happens within a minute")
}
