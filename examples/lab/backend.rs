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

/// What a request costs a server. Long enough for some to be under way whenever a server is killed.
const WORK: Duration = Duration::from_millis(10);

/// A server on a loopback socket of its own. It answers `Server 1 responding` to everything; only `/headers` gets the
/// request's headers back.
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
    /// The socket is bound but does not listen: connections to it are refused, as if the process were gone, and nobody
    /// can take the port meanwhile. (Not even one of the connections that are tried, which could meet itself there.)
    Down {
        port: TcpSocket,
    },
}

impl Backend {
    /// Server `number`, on a free port.
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

    /// Ends it as if its process had been killed: when this is over, the listener and all connections are gone, with
    /// whatever was under way on them. Answers how many connections there were.
    pub(crate) async fn kill(self) -> anyhow::Result<(Self, usize)> {
        let State::Up { kill, server } = self.state else { return Ok((self, 0)) };
        drop(kill);
        let cut = server.await?;
        let state = State::Down { port: reserve(self.address)? };
        Ok((Self { state, ..self }, cut))
    }

    /// Starts it again on the port that it had.
    pub(crate) fn restart(self) -> io::Result<Self> {
        match self.state {
            State::Down { port } => Ok(Self { state: serve(self.number, port)?, ..self }),
            State::Up { .. } => Ok(self),
        }
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // The connections that were cut linger for a while; on Windows the option means something else.
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
    // A server that answers before it has read everything cuts the sender off.
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
