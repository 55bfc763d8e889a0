use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

/// A loopback port that is bound but not listening. Connections are refused, and no other socket can take the port.
#[derive(Debug)]
pub struct Reserved {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    /// Reserves a free port.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn new() -> io::Result<Self> {
        let socket = socket_on((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok(Self { _socket: socket, address })
    }

    /// Returns the address of the port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Listens on the port as long as the listener lives.
    ///
    /// # Errors
    ///
    /// Another socket listens on the port already.
    pub fn listen(&self) -> io::Result<TcpListener> {
        socket_on(self.address)?.listen(1024)
    }
}

fn socket_on(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of an earlier listener may linger, and `Reserved` itself holds the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
