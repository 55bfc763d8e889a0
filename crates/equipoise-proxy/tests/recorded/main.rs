//! The requests and responses in `tests/golden`, through the server, the proxy and hyper's client.

mod bad_requests;
mod headers;
mod reading;
mod responses;
mod rig;
mod smuggling;
