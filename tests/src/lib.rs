//! Backends for tests on loopback sockets, and a strategy that records its hooks.
//!
//! - [`Backend`]: an HTTP server (HTTP/1.1, and HTTP/2 for clients that start with it) that stops like a killed process
//!   and can be started again on the same port.
//! - [`Scripted`]: a TCP server that runs a script of the test on each connection, such as a reset in the middle of a
//!   response.
//! - [`Reserved`]: an address that refuses connections.
//! - [`Recorder`]: a strategy with predictable picks that records leases, verdicts and calls of hooks.
//! - [`Raw`]: a codec of gRPC whose messages are bytes.
//! - [`Browser`]: a Chromium that is driven by scripts.
//! - [`program`], [`python_with`] and [`run`]: real clients and servers, if they are installed.
//!
//! Nothing here sleeps to wait for a state: tests wait for events.

mod backend;
mod browser;
mod program;
mod raw;
mod recorder;
mod reserved;
mod scripted;

pub use crate::{
    backend::{Answer, Backend, Seen},
    browser::Browser,
    program::{Output, program, python_with, run},
    raw::Raw,
    recorder::{Hook, Log, Recorder},
    reserved::Reserved,
    scripted::{Peer, Scripted},
};

use std::time::Duration;

use tokio::time::timeout;

/// Waits for an event that must happen. The timeout only turns a hang into a failure.
///
/// # Panics
///
/// The event has not happened after a minute.
pub async fn soon<F: Future>(event: F) -> F::Output {
    timeout(Duration::from_secs(60), event).await.expect("it happens within a minute")
}
