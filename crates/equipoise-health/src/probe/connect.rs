//! Opens TCP connections for probes.

use equipoise_core::__private::race_addresses;
use tokio::{net::TcpStream, time::sleep};

use super::{ProbeError, Target, resolve::resolve};

/// Connects to the target and returns the first connection that is accepted.
///
/// If the name has several addresses, the next attempt begins when an attempt has failed or has taken 250 ms (RFC
/// 8305). The remaining attempts are dropped.
pub(super) async fn connect(target: &Target) -> Result<TcpStream, ProbeError> {
    let (host, port) = target.host_and_port()?;
    let addresses = resolve(&host, port).await?;
    let none = || ProbeError::Connect(format!("{host} has no address"));
    let connected = race_addresses(&addresses, TcpStream::connect, sleep).await.ok_or_else(none)?;
    connected.map_err(|error| ProbeError::Connect(error.to_string()))
}

/// Returns the first 80 bytes that a peer has sent, escaped, for an error text.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 80;
    let more = if bytes.len() > MAX { "…" } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(MAX)].escape_ascii())
}
