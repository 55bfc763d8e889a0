//! Each probe against real sockets on loopback: good ones and all kinds of bad ones.
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
