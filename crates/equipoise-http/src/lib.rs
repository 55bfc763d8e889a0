// The examples of the README compile only with these features. Without them, doctests leave the README out.
#![cfg_attr(any(not(doctest), all(feature = "http2", feature = "tls")), doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod client;
mod connect;
mod connections;
mod error;
mod origin;
#[cfg(feature = "proxy-protocol")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
pub mod proxy_protocol;
mod settings;
mod upstream;

/// Parts for the other crates of this project and for its benchmarks. They are not part of the public interface and may
/// change in any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        connect::{Options, Stream, dial, dial_address},
        connections::Idle,
        origin::Place,
    };
}

#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use crate::connect::{InvalidTls, Tls};
pub use crate::{
    client::{HttpClient, HttpClientFuture},
    connect::{Resolve, ResolveFuture, SystemResolver},
    connections::{CloseReason, ConnectionStatus},
    error::{Busy, ConnectError, Error, InvalidAddress},
    settings::{Settings, Version},
    upstream::{ResponseBody, ResponseFuture, Upstream},
};
