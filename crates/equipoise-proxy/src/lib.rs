#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "forward", feature = "tcp", feature = "udp"))]
mod attempts;
mod body;
pub mod check;
#[cfg_attr(not(feature = "full"), allow(dead_code))]
mod counter;
pub mod error;
#[cfg(feature = "forward")]
#[cfg_attr(docsrs, doc(cfg(feature = "forward")))]
pub mod forward;
pub mod headers;
#[cfg(feature = "listen")]
#[cfg_attr(docsrs, doc(cfg(feature = "listen")))]
pub mod listen;
#[cfg(feature = "proxy-protocol")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
pub mod proxy_protocol;
mod relay;
pub mod route;
mod seen;
#[cfg(feature = "server")]
#[cfg_attr(docsrs, doc(cfg(feature = "server")))]
pub mod server;
mod service;
#[cfg(feature = "sni")]
#[cfg_attr(docsrs, doc(cfg(feature = "sni")))]
pub mod sni;
#[cfg(feature = "tcp")]
#[cfg_attr(docsrs, doc(cfg(feature = "tcp")))]
pub mod tcp;
mod timing;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod tls;
mod tunnel;
#[cfg(feature = "udp")]
#[cfg_attr(docsrs, doc(cfg(feature = "udp")))]
pub mod udp;

pub use crate::{
    body::{ProxyBody, ProxyBodyError, RequestBody, RequestBodyError, Timeouts},
    error::ProxyError,
    service::{Failed, ProxyFuture, ReverseProxy, ReverseProxyLayer},
    tunnel::{TunnelEnd, Tunnels},
};
