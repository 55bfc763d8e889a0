//! A server that can be killed and started again.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
};

/// Duration of a request. Long enough for some to be in flight when a server is killed.
const WORK: Duration = Duration::from_millis(10);

/// A server on its own loopback socket. It answers `Server 1 responding` to every request, except `/headers`, which
/// returns the headers of the request.
pub(crate) struct Backend {
    number: usize,
    address: SocketAddr,
    state: State,
}

enum State {
    Up {
        kill: oneshot::Sender<()>,
        server: JoinHandle<usize>,
    },
    /// The socket is bound but does not listen: connections are refused, as if the process had ended, and no other
    /// process can take the port. A connection attempt cannot connect to itself there either.
    Down {
        port: TcpSocket,
    },
}

impl Backend {
    /// Creates server `number` on a free port.
    pub(crate) fn start(number: usize) -> io::Result<Self> {
        let port = reserve(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = port.local_addr()?;
        Ok(Self { number, address, state: serve(number, port)? })
    }

    pub(crate) fn name(&self) -> String {
        format!("server {}", self.number)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server as if its process had been killed: the listener and all connections are closed at once, with the
    /// requests in flight. Returns the number of connections.
    pub(crate) async fn kill(self) -> anyhow::Result<(Self, usize)> {
        let State::Up { kill, server } = self.state else { return Ok((self, 0)) };
        drop(kill);
        let cut = server.await?;
        let state = State::Down { port: reserve(self.address)? };
        Ok((Self { state, ..self }, cut))
    }

    /// Starts the server again on the same port.
    pub(crate) fn restart(self) -> io::Result<Self> {
        match self.state {
            State::Down { port } => Ok(Self { state: serve(self.number, port)?, ..self }),
            State::Up { .. } => Ok(self),
        }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Closed connections linger for a while. On Windows the option has another meaning.
    socket.set_reuseaddr(cfg!(not(windows)))?;
    socket.bind(address)?;
    Ok(socket)
}

fn serve(number: usize, port: TcpSocket) -> io::Result<State> {
    let listener = port.listen(1024)?;
    let (kill, killed) = oneshot::channel();
    Ok(State::Up { kill, server: tokio::spawn(accept(number, listener, killed)) })
}

async fn accept(number: usize, listener: TcpListener, mut killed: oneshot::Receiver<()>) -> usize {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut killed => break,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                let respond = service_fn(move |request| respond(number, request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), respond));
            }
        }
    }
    drop(listener);
    let open = connections.len();
    connections.shutdown().await;
    open
}

async fn respond(number: usize, mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    tokio::time::sleep(WORK).await;
    // A response before the end of the request body would cut off the sender.
    while let Some(Ok(_)) = request.body_mut().frame().await {}
    let body = match request.uri().path() {
        "/headers" => {
            let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
            };
            request.headers().iter().map(line).collect()
        }
        _ => format!("Server {number} responding\n"),
    };
    Ok(Response::new(body.into()))
}
