//! What every probe over a stream needs.

use tokio::net::TcpStream;

use super::{ProbeError, Target, resolve::resolve};

/// Connects to the target: each of its addresses in turn until one accepts.
pub(super) async fn connect(target: &Target) -> Result<TcpStream, ProbeError> {
    let (host, port) = target.host_and_port()?;
    let addresses = resolve(&host, port).await?;
    TcpStream::connect(&*addresses).await.map_err(|error| ProbeError::Connect(error.to_string()))
}

/// The beginning of what a peer sent, to show in a reason.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let more = if bytes.len() > MOST { "…" } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(MOST)].escape_ascii())
}
