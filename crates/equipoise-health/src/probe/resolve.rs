//! Resolves host names by the operating system's resolver, for probes.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::ProbeError;

/// The permits for lookups, which limit the number of lookups at the same time. A lookup may occupy a blocking thread
/// for long, and the application needs these threads as well.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

/// Returns all addresses of a host name. If `host` is an IP address, returns that address.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let gone = || ProbeError::Connect("the resolver is gone".to_owned());
    let permit = LOOKUPS.acquire().await.map_err(|_| gone())?;
    let host = host.to_owned();
    let looked_up = spawn_blocking(move || {
        // The permit is held by the lookup and not by the probe, because a probe may be dropped before its lookup
        // ends.
        let _permit = permit;
        (&*host, port).to_socket_addrs().map(Vec::from_iter)
    });
    looked_up.await.map_err(|_| gone())?.map_err(|error| ProbeError::Connect(error.to_string()))
}
