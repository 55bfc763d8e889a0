//! The backends of the proxies for TCP and UDP: threads of this program, whose CPU time does not count.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime,
};

use crate::process::free_address;

/// Length of a request over TCP or UDP, and of its response.
pub(crate) const MESSAGE: usize = 64;

/// Servers that run until the program ends.
pub(crate) struct RawBackends {
    /// Send back what they get, over TCP and UDP.
    pub(crate) echo: Vec<SocketAddr>,
    /// Send as fast as they can, over TCP, after the first byte of a client.
    pub(crate) bulk: Vec<SocketAddr>,
}

impl RawBackends {
    /// Starts a number of servers of each kind.
    pub(crate) fn start(number: usize) -> anyhow::Result<Self> {
        let (mut echo, mut bulk, mut sockets) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..number {
            let address = free_address()?;
            let (tcp, udp) = (TcpListener::bind(address)?, UdpSocket::bind(address)?);
            tcp.set_nonblocking(true)?;
            udp.set_nonblocking(true)?;
            sockets.push((tcp, udp));
            echo.push(address);
            let listener = TcpListener::bind(free_address()?)?;
            bulk.push(listener.local_addr()?);
            thread::spawn(move || serve_bulk(&listener));
        }
        // One thread for all, as there are few cores.
        thread::spawn(move || serve_echo(sockets));
        Ok(Self { echo, bulk })
    }
}

fn serve_bulk(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || send(stream));
    }
}

/// Sends until the client closes the connection. A health check closes it without a byte.
fn send(mut stream: TcpStream) {
    let bytes = vec![b'x'; 1 << 18];
    if stream.read(&mut [0]).is_ok_and(|read| read == 1) {
        while stream.write_all(&bytes).is_ok() {}
    }
}

fn serve_echo(sockets: Vec<(TcpListener, UdpSocket)>) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        for (tcp, udp) in sockets {
            let (tcp, udp) = (tokio::net::TcpListener::from_std(tcp)?, tokio::net::UdpSocket::from_std(udp)?);
            tokio::spawn(async move {
                while let Ok((stream, _)) = tcp.accept().await {
                    tokio::spawn(echo_stream(stream));
                }
            });
            tokio::spawn(echo_datagrams(udp));
        }
        std::future::pending().await
    })
}

async fn echo_stream(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}

/// Ignores errors: they tell that a client is gone.
async fn echo_datagrams(socket: tokio::net::UdpSocket) {
    let mut buffer = [0; 4096];
    loop {
        if let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], client).await;
        }
    }
}
