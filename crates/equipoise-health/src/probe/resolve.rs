//! Host names, resolved by the system.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::ProbeError;

/// The maximum number of lookups at a time. A lookup can occupy a blocking thread for long, and the application needs these
/// threads as well.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

/// All addresses of a host name, or the address itself if `host` is one.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let gone = || ProbeError::Connect("the resolver is gone".to_owned());
    let permit = LOOKUPS.acquire().await.map_err(|_| gone())?;
    let host = host.to_owned();
    let looked_up = spawn_blocking(move || {
        // Held by the lookup and not by the probe, because a probe may be dropped before its lookup ends.
        let _permit = permit;
        (&*host, port).to_socket_addrs().map(Vec::from_iter)
    });
    looked_up.await.map_err(|_| gone())?.map_err(|error| ProbeError::Connect(error.to_string()))
}
