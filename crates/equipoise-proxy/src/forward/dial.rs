use std::{net::SocketAddr, time::Duration};

use equipoise_core::__private::race_addresses;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};

use super::error::ForwardError;
use crate::timing::sleep_until;

/// A stream of bytes to a destination.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects to one of several addresses. Returns `None` if there are none.
pub(super) async fn race(addresses: &[SocketAddr]) -> Option<Result<(TcpStream, SocketAddr), ForwardError>> {
    let attempt = async |address: SocketAddr| {
        let connected = TcpStream::connect(address).await;
        let configured = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        configured.map(|stream| (stream, address)).map_err(|source| ForwardError::Connect { address, source })
    };
    let sleep = async |time: Duration| match Instant::now().checked_add(time).and_then(sleep_until) {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    };
    race_addresses(addresses, attempt, sleep).await
}
