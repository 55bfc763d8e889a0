//! The guide: one subject per chapter. All examples run as tests.
//!
#![cfg_attr(
    all(feature = "http", feature = "reqwest", feature = "tonic"),
    doc = "- [`clients`]: use the balanced HTTP client, or balance a reqwest, gRPC or hyper client."
)]
//! - [`strategies`]: choose a strategy.
#![cfg_attr(feature = "tower", doc = "- [`layers`]: which tower layers go above the balancer, and which below.")]
#![cfg_attr(
    all(feature = "http", feature = "proxy-server", feature = "health"),
    doc = "- [`proxies`]: write a gateway or reverse proxy."
)]
#![cfg_attr(
    all(
        feature = "proxy-forward",
        feature = "proxy-protocol",
        feature = "proxy-server",
        feature = "proxy-sni",
        feature = "proxy-tcp",
        feature = "proxy-tls",
        feature = "proxy-udp"
    ),
    doc = "- [`connections`]: pass on TCP, TLS and UDP, and write a forward proxy."
)]
#![cfg_attr(
    all(
        feature = "gateway-auth-jwt",
        feature = "gateway-browser",
        feature = "gateway-cache",
        feature = "gateway-compression",
        feature = "gateway-rate-limit",
        feature = "http"
    ),
    doc = "- [`gateway`]: put caching, authentication, limits and other functions in front of a pool."
)]
#![cfg_attr(feature = "health", doc = "- [`health`]: find out which endpoints are healthy.")]
#![cfg_attr(feature = "affinity", doc = "- [`affinity`]: send all requests of a session to the same endpoint.")]
#![cfg_attr(
    all(feature = "http", feature = "proxy-server", feature = "health"),
    doc = "- [`shutdown`]: take out an endpoint, or stop the application, without losing requests."
)]
#![cfg_attr(
    all(feature = "http", feature = "proxy-server", feature = "health", feature = "monitor-live"),
    doc = "- [`observing`]: what to log and what to measure."
)]
//! - [`your_own`]: write a strategy and test it.

#[cfg(feature = "affinity")]
pub mod affinity;
#[cfg(all(feature = "http", feature = "reqwest", feature = "tonic"))]
pub mod clients;
#[cfg(all(
    feature = "proxy-forward",
    feature = "proxy-protocol",
    feature = "proxy-server",
    feature = "proxy-sni",
    feature = "proxy-tcp",
    feature = "proxy-tls",
    feature = "proxy-udp"
))]
pub mod connections;
#[cfg(all(
    feature = "gateway-auth-jwt",
    feature = "gateway-browser",
    feature = "gateway-cache",
    feature = "gateway-compression",
    feature = "gateway-rate-limit",
    feature = "http"
))]
pub mod gateway;
#[cfg(feature = "health")]
pub mod health;
#[cfg(feature = "tower")]
pub mod layers;
#[cfg(all(feature = "http", feature = "proxy-server", feature = "health", feature = "monitor-live"))]
pub mod observing;
#[cfg(all(feature = "http", feature = "proxy-server", feature = "health"))]
pub mod proxies;
#[cfg(all(feature = "http", feature = "proxy-server", feature = "health"))]
pub mod shutdown;
pub mod strategies;
pub mod your_own;
