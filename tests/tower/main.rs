//! The tower layer over real sockets, with common clients.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

mod addressing;
mod failover;
mod goaway;
mod gone;
mod grpc;
mod hooks;
mod layers;
mod load;
mod redirects;
mod reqwest;
mod responses;
mod setup;
mod unsent;
