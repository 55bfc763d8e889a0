//! The spans of requests: with a subscriber that records them, and with OpenTelemetry.

#![cfg(feature = "trace")]
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod common;
#[cfg(feature = "opentelemetry")]
mod opentelemetry;
mod scopes;
mod spans;
