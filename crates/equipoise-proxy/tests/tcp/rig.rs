//! A proxy over endpoints of this process, and clients of it.

use std::{net::SocketAddr, time::Duration};

use equipoise_core::{EndpointSpec, EndpointStatus, Pool, RoundRobin, Strategy};
use equipoise_proxy::tcp::{TcpConnection, TcpProxy, TcpSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};

/// A timeout that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(50);
/// A timeout that does not pass in a test.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The text of each connection at its end: the label of the end, the endpoint, the attempts and the bytes.
pub(crate) type Ends = mpsc::UnboundedReceiver<Ended>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: &'static str,
    pub(crate) endpoint: Option<String>,
    pub(crate) attempts: usize,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

impl Ended {
    fn of(connection: &TcpConnection) -> Self {
        Self {
            end: connection.end.as_str(),
            endpoint: connection.endpoint.as_ref().map(|id| id.as_str().to_owned()),
            attempts: connection.attempts,
            sent: connection.sent,
            received: connection.received,
        }
    }
}

pub(crate) struct Rig {
    pub(crate) proxy: TcpProxy,
    pub(crate) pool: Pool<()>,
    pub(crate) address: SocketAddr,
    pub(crate) serving: JoinHandle<()>,
    pub(crate) ends: Ends,
}

/// Starts a proxy with round robin over endpoints.
pub(crate) async fn start(endpoints: &[SocketAddr], settings: TcpSettings) -> Rig {
    let pool = pool(RoundRobin::new(), endpoints);
    over(pool, settings).await
}

pub(crate) fn pool(strategy: impl Strategy, endpoints: &[SocketAddr]) -> Pool<()> {
    let pool = Pool::new(strategy);
    pool.update(endpoints.iter().map(|address| EndpointSpec::new(address.to_string())), |_| ()).expect("valid");
    pool
}

/// Starts a proxy over a pool.
pub(crate) async fn over(pool: Pool<()>, settings: TcpSettings) -> Rig {
    let (sender, ends) = mpsc::unbounded_channel();
    let settings = settings.on_end(move |connection| drop(sender.send(Ended::of(connection))));
    let proxy = TcpProxy::with_settings(pool.clone(), settings);
    let (listener, address) = listener().await;
    let serving = tokio::spawn(proxy.serve(listener));
    Rig { proxy, pool, address, serving, ends }
}

impl Rig {
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the proxy listens")
    }

    pub(crate) async fn ended(&mut self) -> Ended {
        self.ends.recv().await.expect("the proxy lives")
    }

    pub(crate) fn status(&self, endpoint: SocketAddr) -> EndpointStatus {
        let id = endpoint.to_string();
        self.pool.endpoints().into_iter().find(|status| status.id.as_str() == id).expect("it is in the pool")
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.pool.endpoints().iter().map(|status| status.in_flight).sum()
    }
}

/// Listens with a backlog in which all connections of a test have place. Linux may forget those above it, of which their
/// clients think that they are open.
pub(crate) async fn listener() -> (TcpListener, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let listener = socket.listen(1024).expect("bound");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

/// An address at which nothing listens.
pub(crate) async fn refusing() -> SocketAddr {
    listener().await.1
}

/// Starts an endpoint that runs `serve` for each connection.
pub(crate) async fn endpoint<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Starts an endpoint that sends its name (a byte), and then what it receives.
pub(crate) async fn named(name: u8) -> SocketAddr {
    endpoint(move |mut stream| async move {
        if stream.write_all(&[name]).await.is_ok() {
            echo(stream).await;
        }
    })
    .await
}

/// Starts an endpoint that sends what it receives.
pub(crate) async fn echoing() -> SocketAddr {
    endpoint(echo).await
}

async fn echo(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
    let _ = writer.shutdown().await;
}

/// Resets a connection.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
}

/// Sends bytes, and expects the same bytes back.
pub(crate) async fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.expect("open");
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).await.expect("open");
    assert_eq!(answer, bytes);
}

/// Reads until the end, and returns what came.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("an orderly end");
    rest
}

/// Waits until a condition holds that the proxy brings about by itself, and which it does not announce.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let limit = tokio::time::Instant::now() + LONG;
    while !holds() {
        assert!(tokio::time::Instant::now() < limit, "it did not happen in time");
        tokio::task::yield_now().await;
    }
}
