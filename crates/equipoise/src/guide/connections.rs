//! Connections and datagrams: TCP, TLS, UDP, and forward proxies.
//!
//! The chapter [`proxies`](super::proxies) is about requests of HTTP. This one is about everything else that a balancer can
//! pass on, over the same pools, strategies and health checks: connections of any protocol, TLS with and without the key,
//! datagrams, and what clients inside ask for outside. The page
//! [layer 4 or layer 7](https://github.com/equipoise-rs/equipoise/blob/main/docs/layer4-or-layer7.md) says when to use which,
//! and has the configuration of `examples/gateway` for each. This chapter needs the features `proxy-tcp`, `proxy-sni`,
//! `proxy-tls`, `proxy-protocol`, `proxy-udp` and `proxy-forward`.
//!
//! # TCP
//!
//! [`TcpProxy`](crate::proxy::tcp::TcpProxy) passes on connections to the endpoints of any pool. Its lease lasts as long as
//! the connection, so [`LeastConnections`](crate::strategy::LeastConnections), limits and drains are exact:
//!
//! ```
//! use std::time::Duration;
//!
//! use equipoise::{EndpointSpec, Pool, SourcePrefix, strategy::LeastConnections};
//! use equipoise::proxy::tcp::{TcpKey, TcpProxy, TcpSettings};
//! use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::{TcpListener, TcpStream}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let backend = TcpListener::bind("127.0.0.1:0").await?;
//! # let backend_address = backend.local_addr()?.to_string();
//! # tokio::spawn(async move {
//! #     while let Ok((mut stream, _)) = backend.accept().await {
//! #         let (mut read, mut write) = stream.split();
//! #         let _ = tokio::io::copy(&mut read, &mut write).await;
//! #     }
//! # });
//! let pool = Pool::new(LeastConnections::new());
//! # let addresses = [backend_address.as_str(), "127.0.0.1:1"];
//! # /*
//! let addresses = ["10.0.0.1:5432", "10.0.0.2:5432"];
//! # */
//! pool.update(addresses.map(|address| EndpointSpec::new(address).max_in_flight(90)), |_| ())?;
//!
//! let settings = TcpSettings::new()
//!     .idle_timeout(Duration::from_secs(3600))
//!     // Of a client's network: a client cannot take all connections.
//!     .max_connections_per_source(50)
//!     // Strategies that hash, such as `Maglev`, place connections by it. Others do not use it.
//!     .key(TcpKey::source(SourcePrefix::default()))
//!     // For logs and metrics.
//!     .on_end(|connection| println!("{:?} {} bytes: {}", connection.client, connection.sent, connection.end));
//! let proxy = TcpProxy::with_settings(pool, settings);
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let address = listener.local_addr()?;
//! tokio::spawn(proxy.serve(listener));
//! # let mut client = TcpStream::connect(address).await?;
//! # client.write_all(b"ping").await?;
//! # let mut answer = [0; 4];
//! # client.read_exact(&mut answer).await?;
//! # assert_eq!(&answer, b"ping");
//! # drop(client);
//! // When the process is asked to end: connections that are open may end, and are aborted after this time.
//! proxy.shutdown(Duration::from_secs(20)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Another endpoint is tried as long as no byte has been sent: if the connection is refused or takes too long, and if the
//! endpoint ends it at once.
//!
//! # TLS, with the key
//!
//! [`Tls`](crate::proxy::tls::Tls) is a listener around another one. Every server of this crate can use it. It
//! selects HTTP/2 or HTTP/1.1 by ALPN. For other protocols over TCP, use
//! [`TlsSettings::without_alpn`](crate::proxy::tls::TlsSettings::without_alpn), or
//! [`alpn`](crate::proxy::tls::TlsSettings::alpn) with those of the protocol:
//!
//! ```no_run
//! use equipoise::proxy::{server::Server, tls::{Certificate, Tls, TlsAcceptor, TlsSettings}};
//! use tokio::net::TcpListener;
//!
//! # async fn example(
//! #     proxy: equipoise::proxy::ReverseProxy<equipoise::HttpClient>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let read = || -> Result<TlsSettings, Box<dyn std::error::Error>> {
//!     let app = Certificate::from_files("app.pem", "app.key")?;
//!     // Chosen for the names in it. The first certificate is that of all others.
//!     Ok(TlsSettings::new(app).certificate(Certificate::from_files("shop.pem", "shop.key")?))
//! };
//! let acceptor = TlsAcceptor::new(&read()?)?;
//! let listener = Tls::with_acceptor(TcpListener::bind("0.0.0.0:443").await?, acceptor.clone());
//! tokio::spawn(Server::new(proxy).serve(listener));
//!
//! // When the files have changed. Connections stay, and with an error, the old certificates do.
//! acceptor.replace(&read()?)?;
//! for certificate in acceptor.certificates() {
//!     println!("{:?} expires in {:?}", certificate.names, certificate.remaining());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # TLS, without the key
//!
//! [`SniRouter`](crate::proxy::sni::SniRouter) reads the server name that the client asks for, and passes the bytes on as
//! they are. The endpoints have the keys:
//!
//! ```no_run
//! use equipoise::{Pool, proxy::{sni::SniRouter, tcp::TcpProxy}};
//! use tokio::net::TcpListener;
//!
//! # async fn example(shop: Pool<()>, wiki: Pool<()>) -> Result<(), Box<dyn std::error::Error>> {
//! let (shop, wiki) = (TcpProxy::new(shop), TcpProxy::new(wiki));
//! let router = SniRouter::new().host("shop.example", shop)?.host("*.wiki.example", wiki)?;
//! router.serve(TcpListener::bind("0.0.0.0:443").await?).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The address of the client
//!
//! Endpoints of a [`TcpProxy`](crate::proxy::tcp::TcpProxy) see the address of the balancer. The PROXY protocol tells them that
//! of the client, and the balancer learns it in the same way from a balancer in front:
//!
//! ```no_run
//! use equipoise::{Pool, proxy::{proxy_protocol::{ProxyProtocol, Version}, tcp::{TcpProxy, TcpSettings}}};
//! use tokio::net::TcpListener;
//!
//! # async fn example(pool: Pool<()>) -> Result<(), Box<dyn std::error::Error>> {
//! // Only these peers may say who the client is. Connections of all others are closed.
//! let listener = ProxyProtocol::new(TcpListener::bind("0.0.0.0:5432").await?, "10.0.0.0/8".parse()?);
//! TcpProxy::with_settings(pool, TcpSettings::new().proxy_protocol(Version::V2)).serve(listener).await;
//! # Ok(())
//! # }
//! ```
//!
//! With TLS, the header comes first: `Tls::new(ProxyProtocol::new(listener, trusted), certificate)`.
//!
//! # UDP
//!
//! [`UdpProxy`](crate::proxy::udp::UdpProxy) makes a session of each client, which stays with its endpoint until it is idle, or
//! until it has had its replies:
//!
//! ```
//! use std::time::Duration;
//!
//! use equipoise::{EndpointSpec, Pool};
//! use equipoise::proxy::udp::{UdpListener, UdpProxy, UdpSettings};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let backend = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
//! # let backend_address = backend.local_addr()?.to_string();
//! # tokio::spawn(async move {
//! #     let mut buffer = [0; 64];
//! #     while let Ok((length, client)) = backend.recv_from(&mut buffer).await {
//! #         let _ = backend.send_to(&buffer[..length], client).await;
//! #     }
//! # });
//! let pool = Pool::default();
//! # let addresses = [backend_address.as_str()];
//! # /*
//! let addresses = ["10.0.0.1:53", "10.0.0.2:53"];
//! # */
//! pool.update(addresses.map(EndpointSpec::new), |_| ())?;
//!
//! // DNS: one reply to each datagram, and soon.
//! let dns = UdpSettings::new().max_replies(1).reply_timeout(Duration::from_secs(5));
//! let proxy = UdpProxy::with_settings(pool, dns);
//! let listener = UdpListener::bind("127.0.0.1:0".parse()?)?;
//! let address = listener.local_addr();
//! tokio::spawn(proxy.serve(listener));
//! # let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
//! # client.send_to(b"ping", address).await?;
//! # let mut answer = [0; 8];
//! # let (length, from) = client.recv_from(&mut answer).await?;
//! # assert_eq!((&answer[..length], from), (&b"ping"[..], address));
//! # proxy.shutdown(Duration::ZERO).await;
//! # Ok(())
//! # }
//! ```
//!
//! # A forward proxy
//!
//! [`ForwardProxy`](crate::proxy::forward::ForwardProxy) is a service for [`Server`](crate::proxy::server::Server): clients
//! send it requests for any host, and open tunnels with `CONNECT`. Its rules decide about the name and about the address
//! that it resolves to. Without a rule that allows, everything is denied. If clients connect to it with TLS, set
//! [`any_authority`](crate::proxy::server::ServerLimits::any_authority):
//!
//! ```
//! use equipoise::proxy::forward::{BasicAuth, ForwardProxy, ForwardSettings, Passwords, Rule};
//! use equipoise::proxy::server::Server;
//!
//! let rules = [
//!     Rule::deny().host("*.ads.example")?,
//!     // A host inside, for one user. Other addresses inside stay closed.
//!     Rule::allow().host("git.internal")?.port(22).network("10.0.0.0/8")?.user("deploy"),
//!     // The public internet.
//!     Rule::allow(),
//! ];
//! let users = Passwords::new().user("ann", "correct horse").user("deploy", "battery staple");
//! let settings = ForwardSettings::new().authentication(BasicAuth::new("proxy", users)?);
//! let server = Server::new(ForwardProxy::with_settings(rules, settings));
//! # drop(server);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
