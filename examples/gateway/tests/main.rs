//! The gateway as a process, with real sockets and signals. `cargo test` builds the example before these tests.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[cfg(target_os = "linux")]
mod abuse;
mod admin;
mod backend;
mod client;
mod config;
mod echo;
mod forward;
mod functions;
mod generators;
mod limits;
mod load;
mod log;
mod monitoring;
mod pki;
mod process;
mod prometheus;
mod reload;
mod routing;
mod secrets;
mod secure;
mod shutdown;
mod sni;
mod tcp;
mod timeouts;
mod tls;
mod udp;
mod uses;
