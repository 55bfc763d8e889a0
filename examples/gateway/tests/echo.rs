//! Servers that send back what they get, over TCP and UDP.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::{JoinHandle, JoinSet},
};

use crate::client::soon;

/// A server of TCP that sends its name and a line break, and then what it gets. It runs until it is dropped.
pub(crate) struct Echo {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            // Dropped with this task, which ends the connections.
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    stream.write_all(format!("{name}\n").as_bytes()).await?;
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await?;
                    write.shutdown().await
                });
            }
        });
        Self { address, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection to an [`Echo`], perhaps through a gateway.
pub(crate) struct Line(TcpStream);

impl Line {
    /// Connects, and returns the connection with the name of the server.
    pub(crate) async fn open(address: &str) -> (Self, String) {
        Self::begin(address, b"").await
    }

    /// Connects and sends first bytes.
    pub(crate) async fn begin(address: &str, first: &[u8]) -> (Self, String) {
        let mut line = Self(soon(TcpStream::connect(address)).await.unwrap());
        line.0.write_all(first).await.unwrap();
        let name = line.read().await;
        (line, name)
    }

    /// Returns whether the server sends back a line.
    pub(crate) async fn echoes(&mut self) -> bool {
        self.0.write_all(b"?\n").await.is_ok() && self.read().await == "?"
    }

    /// Reads a line. It is empty at the end.
    async fn read(&mut self) -> String {
        let mut line = Vec::new();
        while let Ok(byte) = soon(self.0.read_u8()).await {
            if byte == b'\n' {
                break;
            }
            line.push(byte);
        }
        String::from_utf8(line).unwrap()
    }

    /// Sends the end of this direction, and returns what comes until the end of the other one.
    pub(crate) async fn finish(mut self) -> String {
        self.0.shutdown().await.unwrap();
        let mut rest = String::new();
        soon(self.0.read_to_string(&mut rest)).await.unwrap();
        rest
    }

    /// Waits until the connection has ended or is reset.
    pub(crate) async fn ended(mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = soon(self.0.read_to_end(&mut rest)).await;
    }
}

/// A server of UDP that answers each datagram with its name. It runs until it is dropped.
pub(crate) struct Datagrams {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Datagrams {
    pub(crate) async fn start(name: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((_, client)) = socket.recv_from(&mut buffer).await {
                let _ = socket.send_to(name.as_bytes(), client).await;
            }
        });
        Self { address, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the socket.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends a datagram from a socket, and returns the reply.
pub(crate) async fn ask(socket: &UdpSocket) -> String {
    socket.send(b"?").await.unwrap();
    let mut buffer = [0; 2048];
    let length = soon(socket.recv(&mut buffer)).await.unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// Opens a socket whose datagrams go to an address.
pub(crate) async fn socket_to(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket
}
