use std::{net::SocketAddr, pin::Pin};

use equipoise_tower::BoxError;

/// The future that [`Resolve::resolve`] returns.
pub type ResolveFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, BoxError>> + Send + 'a>>;

/// Resolves host names to IP addresses. It is asked for each connection that is opened, so an implementation that
/// queries a server should cache.
///
/// A resolution returns all addresses at once. No connection is attempted before it ends, so an implementation that
/// queries IPv6 and IPv4 separately decides itself how long it waits for the second answer (RFC 8305, section 3,
/// recommends 50 ms after an answer for IPv4). If it is still under way at the end of the
/// [connect timeout](crate::Settings::connect_timeout), its future is dropped.
///
/// ```
/// use std::net::SocketAddr;
///
/// use equipoise_http::{Resolve, ResolveFuture, Settings};
///
/// #[derive(Debug)]
/// struct Fixed(SocketAddr);
///
/// impl Resolve for Fixed {
///     fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
///         Box::pin(async { Ok(vec![self.0]) })
///     }
/// }
///
/// let settings = Settings::new().resolver(Fixed(([127, 0, 0, 1], 8080).into()));
/// # drop(settings);
/// ```
pub trait Resolve: std::fmt::Debug + Send + Sync + 'static {
    /// Returns the addresses of `host`, each with `port`, in the order of preference. The connector tries them in this
    /// order, but alternates between IPv6 and IPv4 (RFC 8305, section 4). It does not call this method for hosts that
    /// are IP addresses.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> ResolveFuture<'a>;
}

/// Resolves names with the system's resolver (`getaddrinfo`), on a thread of tokio's pool for blocking work. It reads
/// `/etc/hosts` and sorts addresses as RFC 6724 demands. It does not cache. A resolution that is given up occupies its
/// thread until the system ends it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> ResolveFuture<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}
