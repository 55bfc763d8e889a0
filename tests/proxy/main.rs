//! The reverse proxy with its server, over the connections of `equipoise-http`, on real sockets.

mod expect;
mod messages;
mod setup;
mod tunnels;
mod vanishing;
