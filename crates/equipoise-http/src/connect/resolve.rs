use std::{net::SocketAddr, pin::Pin};

use equipoise_tower::BoxError;

/// The future that [`Resolve::resolve`] returns.
pub type ResolveFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, BoxError>> + Send + 'a>>;

/// Resolves host names to IP addresses. It is asked for each connection that is opened, so an implementation that
/// queries a server should cache.
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
/// `/etc/hosts` and sorts addresses as RFC 6724 demands. It does not cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> ResolveFuture<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}
