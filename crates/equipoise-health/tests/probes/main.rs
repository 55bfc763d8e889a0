//! Each probe against servers on loopback that work, and that fail in many ways.
#![cfg(feature = "tokio")]

mod agent;
mod custom;
#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "ping")]
mod ping;
mod server;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
