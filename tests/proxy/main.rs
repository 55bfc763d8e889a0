//! The reverse proxy with its server, over the connections of `equipoise-http`, on real sockets, with real clients and
//! servers. Tests whose client or server is not installed print `SKIPPED` and pass.

mod app;
mod certificates;
mod curl;
mod dns;
mod endless;
mod expect;
mod fallback;
mod folder;
mod grpc;
mod interim;
mod load;
mod messages;
mod one_message;
mod process;
mod proxy_protocol;
mod python;
mod servers;
mod setup;
mod slow;
mod sni;
mod tcp;
mod tcp_postgres;
mod tls;
mod tunnels;
mod vanishing;
