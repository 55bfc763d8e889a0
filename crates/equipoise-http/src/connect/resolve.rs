use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    pin::Pin,
    sync::{Arc, LazyLock},
};

use equipoise_tower::BoxError;
use futures::{FutureExt, future::Shared};
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::spawn_blocking};

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
/// `/etc/hosts` and sorts addresses as RFC 6724 demands. It does not cache.
///
/// The system's resolver cannot be interrupted. Requests for a name that is being resolved share the result, and a
/// resolution that is given up goes on, so each name occupies at most one thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> ResolveFuture<'a> {
        static UNDER_WAY: LazyLock<Arc<Lookups>> = LazyLock::new(Arc::default);
        Box::pin(async move {
            let name = (host.to_owned(), port);
            let found = UNDER_WAY.find(name, |(host, port)| Ok((host.as_str(), *port).to_socket_addrs()?.collect()));
            Ok(found.await.map_err(|_| "the tokio runtime has ended")??)
        })
    }
}

/// A host and a port.
type Name = (String, u16);

type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// The names that are being resolved.
#[derive(Default)]
struct Lookups(Mutex<HashMap<Name, Shared<oneshot::Receiver<Found>>>>);

impl Lookups {
    /// Calls `look_up` in a thread, unless this name is being looked up already.
    fn find(
        self: &Arc<Self>,
        name: Name,
        look_up: impl FnOnce(&Name) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> Shared<oneshot::Receiver<Found>> {
        let mut all = self.0.lock();
        if let Some(lookup) = all.get(&name) {
            return lookup.clone();
        }
        let (sender, receiver) = oneshot::channel();
        let lookup = receiver.shared();
        all.insert(name.clone(), lookup.clone());
        drop(all);
        let lookups = Arc::clone(self);
        let under_way = UnderWay { lookups, name };
        spawn_blocking(move || {
            let found = look_up(&under_way.name).map_err(Arc::new);
            // Later requests look the name up again.
            drop(under_way);
            let _ = sender.send(found);
        });
        lookup
    }
}

/// Removes a name when its lookup has ended, or its runtime has dropped it.
struct UnderWay {
    lookups: Arc<Lookups>,
    name: Name,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.lookups.0.lock().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_system_resolves_names() {
        let found = SystemResolver.resolve("localhost", 80).await.unwrap();
        assert!(!found.is_empty() && found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
        assert!(SystemResolver.resolve("no name", 80).await.is_err());
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_at_a_time() {
        let (lookups, (go, may_go)) = (Arc::new(Lookups::default()), mpsc::channel());
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        let find = |answer: Vec<SocketAddr>, gate: Option<mpsc::Receiver<()>>| {
            lookups.find(("orders".to_owned(), 80), move |_| {
                gate.map(|gate| gate.recv());
                Ok(answer)
            })
        };
        let given_up = find(vec![address], Some(may_go));
        drop(given_up);
        let shares = find(Vec::new(), None);
        go.send(()).unwrap();
        assert_eq!(shares.await.unwrap().unwrap(), [address]);
        assert!(find(Vec::new(), None).await.unwrap().unwrap().is_empty());
        assert!(lookups.0.lock().is_empty());
    }
}
