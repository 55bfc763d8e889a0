//! The status page, as a service that is called without a server.

#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod changes;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod common;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod explain;
#[cfg(all(feature = "affinity", feature = "gateway", feature = "health", feature = "page"))]
mod functions;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod properties;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod requests;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod schema;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod traffic;
#[cfg(all(feature = "affinity", feature = "health", feature = "page"))]
mod updates;
