// The examples of the README compile only with these features. Without them, doctests leave the README out.
#![cfg_attr(any(not(doctest), all(feature = "http", feature = "monitor-axum", feature = "monitor-page", feature = "proxy-server", feature = "reqwest", feature = "tonic")), doc = include_str!("../README.md"))]
//! # In this documentation
//!
//! The [`guide`] explains one subject in each chapter. The main types are:
//!
//! - for endpoints: [`Pool`], [`EndpointSpec`] and [`Strategy`];
#![cfg_attr(feature = "tower", doc = "- for requests: [`Balance`] and [`BalanceLayer`] in [`mod@tower`];")]
#![cfg_attr(feature = "http", doc = "- for connections: [`HttpClient`] and [`Upstream`] in [`mod@http`];")]
#![cfg_attr(
    feature = "health",
    doc = "- for health checks and outlier detection: [`Health`](health::Health) in [`health`];"
)]
#![cfg_attr(feature = "affinity", doc = "- for sessions: [`Affinity`](affinity::Affinity) in [`affinity`];")]
#![cfg_attr(feature = "proxy", doc = "- for reverse proxies: [`ReverseProxy`](proxy::ReverseProxy) in [`proxy`];")]
#![cfg_attr(
    feature = "gateway",
    doc = "- for functions of a gateway, such as caching and authentication: the layers in [`gateway`]."
)]
//! - for writing a strategy: the traits in [`strategy`].
//!
//! Most items are defined in crates that this crate re-exports, and the examples on their pages use the names of those
//! crates. Replace `equipoise_core` by `equipoise`, and the other names by a module of this crate: `equipoise_tower` by
//! `equipoise::tower`, and `equipoise_sim` by `equipoise::sim`.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;

/// Session affinity: sends all requests of a session, such as those of one client, to the same endpoint.
#[cfg(feature = "affinity")]
#[cfg_attr(docsrs, doc(cfg(feature = "affinity")))]
#[doc(inline)]
pub use equipoise_affinity as affinity;
#[doc(inline)]
pub use equipoise_core::*;
/// Functions of proxies and API gateways as tower layers: caching, compression, rate limits, authentication, filters.
///
/// A feature of `equipoise-gateway` has the prefix `gateway-` here: the compiler and the documentation name `auth-basic`, and
/// the feature of this crate is `gateway-auth-basic`.
#[cfg(feature = "gateway")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
#[doc(inline)]
pub use equipoise_gateway as gateway;
/// Health of endpoints: active health checks, outlier detection from the results of requests, and draining.
#[cfg(feature = "health")]
#[cfg_attr(docsrs, doc(cfg(feature = "health")))]
#[doc(inline)]
pub use equipoise_health as health;
/// Connections to endpoints (HTTP/1.1, HTTP/2, TLS), and a balanced HTTP client.
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[doc(inline)]
pub use equipoise_http as http;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
#[doc(inline)]
pub use equipoise_http::{HttpClient, Upstream};
/// Monitoring: metrics, traces, events and a status page.
#[cfg(feature = "monitor")]
#[cfg_attr(docsrs, doc(cfg(feature = "monitor")))]
#[doc(inline)]
pub use equipoise_monitor as monitor;
/// A reverse proxy over a balancer: request checks, header rules, error responses, tunnels and routing.
#[cfg(feature = "proxy")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy")))]
#[doc(inline)]
pub use equipoise_proxy as proxy;
/// A simulator for strategies: it runs real pools and strategies with simulated clients, servers and time.
#[cfg(feature = "sim")]
#[cfg_attr(docsrs, doc(cfg(feature = "sim")))]
#[doc(inline)]
pub use equipoise_sim as sim;
/// Balancers as tower services: for HTTP, gRPC and any other request type.
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
#[doc(inline)]
pub use equipoise_tower as tower;
#[cfg(feature = "tower")]
#[cfg_attr(docsrs, doc(cfg(feature = "tower")))]
#[doc(inline)]
pub use equipoise_tower::{Balance, BalanceLayer};
