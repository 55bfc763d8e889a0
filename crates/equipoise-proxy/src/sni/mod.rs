//! TLS passthrough: connections are routed by the server name that the client asks for (SNI), without decrypting them.
//!
//! A client that begins TLS sends a ClientHello, which has the name of the server and the protocols that it offers (ALPN)
//! in clear text. [`SniRouter`] reads it, chooses a target by it, and passes on all bytes unchanged:
//!
//! ```
//! use equipoise_proxy::sni::SniRouter;
//! use tokio::net::TcpListener;
//! # use equipoise_proxy::{listen::{Established, Prefixed}, sni::SniTarget};
//! # use tokio::net::TcpStream;
//! # fn proxy() -> impl SniTarget<TcpStream> {
//! #     async |_: Established<Prefixed<TcpStream>>| {}
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (shop, wiki, other) = (proxy(), proxy(), proxy());
//! let router = SniRouter::new().host("shop.example", shop)?.host("*.wiki.example", wiki)?.otherwise(other);
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let serving = tokio::spawn(router.clone().serve(listener));
//! // When the process is asked to end:
//! router.shutdown(std::time::Duration::from_secs(10)).await;
//! # serving.await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Sni`] is only the part that reads: a [`Listener`](crate::listen::Listener) whose connections have their
//! [`ClientHello`] in [`ConnectionInfo`](crate::headers::ConnectionInfo). With it, the server name can be the key of one
//! pool.
//!
//! # What is read
//!
//! The ClientHello of TLS 1.0 to 1.3 is read, with up to [16 KiB](ClientHello::MAX_LEN) (with ML-KEM, it does not fit into
//! one segment of TCP), in any number of segments, and up to 200 TLS records. Its structure must be right: if it has two server names,
//! or a length does not fit, the connection is closed, because the endpoint could read another name. An IP address counts as
//! no name. With Encrypted Client
//! Hello (ECH), the name is the one that is not encrypted. DTLS and QUIC are not supported.
//!
//! The crates `rustls` and `tls-parser` can read a ClientHello too. The former refuses clients that it would not serve
//! itself, such as those without the extension for signature algorithms. The latter ignores the rest of a malformed list of
//! names.

mod acceptor;
mod hello;
mod listener;
mod reassembly;
mod route;
mod router;

pub use self::{
    acceptor::{SniAcceptor, SniError, SniStats},
    hello::{ClientHello, InvalidHello},
    listener::Sni,
    route::InvalidSniRoute,
    router::{SniRouter, SniTarget},
};
