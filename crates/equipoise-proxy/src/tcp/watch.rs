//! Watches the client's socket while its bytes are not read, because the endpoint does not take them, or there is none.
//!
//! Linux reports such events separately. On other systems, and for clients that are no TCP sockets (TLS), they are noticed
//! at the next read.

use std::{future::pending, io};

use tokio::net::TcpStream;

/// Waits until the connection breaks, and returns why.
pub(super) async fn broken(socket: Option<&TcpStream>) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Some(socket) = socket
        && socket.ready(tokio::io::Interest::ERROR).await.is_ok()
    {
        let error = socket.take_error().ok().flatten();
        return error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
    }
    let _ = socket;
    pending().await
}

/// Waits until the client has ended its direction, or the connection breaks.
pub(super) async fn gone(socket: Option<&TcpStream>) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Some(socket) = socket {
        use tokio::io::Interest;

        // Sockets are not registered for urgent data, so that only an end or an error makes them ready for it.
        if socket.ready(Interest::PRIORITY | Interest::ERROR).await.is_ok() {
            let error = socket.take_error().ok().flatten();
            return error
                .unwrap_or_else(|| io::Error::new(io::ErrorKind::ConnectionAborted, "the client has given up"));
        }
    }
    let _ = socket;
    pending().await
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    use super::*;

    #[tokio::test]
    async fn a_client_with_unread_bytes_is_watched() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let mut client = TcpStream::connect(address).await.expect("it listens");
        let (socket, _) = listener.accept().await.expect("a connection");
        client.write_all(b"not read").await.expect("open");
        socket.readable().await.expect("open");
        let is_gone = async || tokio::time::timeout(Duration::ZERO, gone(Some(&socket))).await.is_ok();
        assert!(!is_gone().await);
        client.shutdown().await.expect("open");
        assert_eq!(gone(Some(&socket)).await.kind(), io::ErrorKind::ConnectionAborted);
        // The end of a direction breaks nothing.
        assert!(tokio::time::timeout(Duration::ZERO, broken(Some(&socket))).await.is_err());
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket");
        drop(client);
        // As Linux calls a reset after the end of a direction.
        assert_eq!(broken(Some(&socket)).await.kind(), io::ErrorKind::BrokenPipe);
    }
}
