use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpSocket};

/// A loopback port that is taken and on which nobody listens: connections to it are refused, and no other socket of
/// the machine can get it meanwhile.
#[derive(Debug)]
pub struct Reserved {
    _socket: TcpSocket,
    address: SocketAddr,
}

impl Reserved {
    /// Takes a free port.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn new() -> io::Result<Self> {
        let socket = socket_on((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        Ok(Self { _socket: socket, address })
    }

    /// Where nobody listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Listens on the port, for as long as the listener lives.
    ///
    /// # Errors
    ///
    /// When somebody listens there already.
    pub fn listen(&self) -> io::Result<TcpListener> {
        socket_on(self.address)?.listen(1024)
    }
}

fn socket_on(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Connections of the last listener may still linger, and `Reserved` holds the port itself.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
