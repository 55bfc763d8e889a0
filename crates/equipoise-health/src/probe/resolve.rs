//! Names, as the system resolves them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::ProbeError;

/// How many lookups may be under way at a time: each holds a thread of the runtime's for as long as the system lets it, and
/// the application needs these too.
static LOOKUPS: Semaphore = Semaphore::const_new(32);

/// All addresses of a host.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let gone = || ProbeError::Connect("the resolver is gone".to_owned());
    let permit = LOOKUPS.acquire().await.map_err(|_| gone())?;
    let host = host.to_owned();
    let looked_up = spawn_blocking(move || {
        // Held by the lookup, not by the look: that may be given up long before.
        let _permit = permit;
        (&*host, port).to_socket_addrs().map(Vec::from_iter)
    });
    looked_up.await.map_err(|_| gone())?.map_err(|error| ProbeError::Connect(error.to_string()))
}
