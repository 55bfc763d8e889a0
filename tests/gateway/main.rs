//! The functions of a gateway on real sockets: a server, the reverse proxy with functions inside of it, the client with its
//! pool, and a backend. Attacks, many clients at once, failing backends and real clients. Tests whose client is not
//! installed print `SKIPPED` and pass.

mod bombs;
mod browser;
mod clients;
mod deception;
mod escaping;
mod herd;
mod interim;
mod long_inputs;
mod outage;
mod poisoning;
mod setup;
mod splitting;
mod spoofing;
mod tokens;
mod zipf;
