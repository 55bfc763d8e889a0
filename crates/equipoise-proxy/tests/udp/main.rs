//! The proxy for UDP with real sockets. Timeouts that are waited for are short, and all others are longer than the tests.

mod addresses;
mod batches;
mod ends;
mod failures;
mod hostile;
mod limits;
mod sessions;
mod shutdown;

use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use equipoise_proxy::udp::{UdpListener, UdpProxy, UdpSettings, UdpStats};
use tokio::{net::UdpSocket, task::JoinHandle, time::timeout};

/// A timeout that a test waits for.
const SHORT: Duration = Duration::from_millis(50);
/// A timeout that does not pass in a test.
const LONG: Duration = Duration::from_secs(60);

/// Settings whose timeouts do not pass in a test.
fn long() -> UdpSettings {
    UdpSettings::new().idle_timeout(LONG).reply_timeout(LONG)
}

/// Runs a future that must end soon.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(10), future).await.expect("it ends soon")
}

/// Lets time pass for the proxy, at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// An endpoint that replies to each datagram with its own name, `:` and the datagram.
struct Echo {
    address: String,
    task: JoinHandle<()>,
}

impl Echo {
    async fn start(name: &'static str) -> Self {
        Self::at(at("127.0.0.1:0"), name).await
    }

    async fn at(address: SocketAddr, name: &'static str) -> Self {
        let socket = bound(address).await;
        let address = address_of(&socket).to_string();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            loop {
                // An error is that of a reply to a session that has ended.
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
                let reply = [name.as_bytes(), b":", &buffer[..length]].concat();
                let _ = socket.send_to(&reply, from).await;
            }
        });
        Self { address, task }
    }

    /// Closes the socket, so that the system refuses datagrams for it.
    async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

async fn bound(address: SocketAddr) -> UdpSocket {
    UdpSocket::bind(address).await.expect("a free port")
}

/// Reads an address.
fn at(address: &str) -> SocketAddr {
    address.parse().expect("an address")
}

/// Returns the address that a socket is bound to.
fn address_of(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("it is bound")
}

fn listen(address: &str) -> UdpListener {
    UdpListener::bind(at(address)).expect("a free port")
}

/// A client at a port of its own.
async fn client() -> Client {
    Client(bound(at("127.0.0.1:0")).await)
}

struct Client(UdpSocket);

impl Client {
    async fn send(&self, to: SocketAddr, datagram: impl AsRef<[u8]>) {
        self.0.send_to(datagram.as_ref(), to).await.expect("it is sent");
    }

    async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (length, from) = soon(self.0.recv_from(&mut buffer)).await.expect("a reply");
        buffer.truncate(length);
        (buffer, from)
    }

    /// Sends a datagram, and returns the reply to it as text.
    async fn ask(&self, to: SocketAddr, datagram: impl AsRef<[u8]>) -> String {
        self.send(to, datagram).await;
        let (reply, from) = self.receive().await;
        assert_eq!(from, to, "the address that was asked");
        String::from_utf8(reply).expect("text")
    }

    /// Returns whether no datagram has come. All that were sent before are in the socket's buffer on loopback.
    fn has_none(&self) -> bool {
        self.0.try_recv(&mut [0; 8]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

struct Running {
    proxy: UdpProxy,
    pool: Pool<()>,
    address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
}

impl Running {
    fn start<'a>(endpoints: impl IntoIterator<Item = &'a str>, settings: UdpSettings) -> Self {
        let pool = Pool::new(RoundRobin::new());
        pool.update(endpoints.into_iter().map(EndpointSpec::new), |_| ()).expect("endpoints");
        Self::over(pool, settings, listen("127.0.0.1:0"))
    }

    fn over(pool: Pool<()>, settings: UdpSettings, listener: UdpListener) -> Self {
        let proxy = UdpProxy::with_settings(pool.clone(), settings);
        let address = listener.local_addr();
        let serving = tokio::spawn(proxy.serve(listener));
        Self { proxy, pool, address, serving }
    }

    fn stats(&self) -> UdpStats {
        self.proxy.stats()
    }

    fn in_flight(&self) -> u32 {
        self.pool.endpoints().iter().map(|endpoint| endpoint.in_flight).sum()
    }

    /// Waits until the counters are as the test expects. They are counted after datagrams were sent, so a reply may come
    /// first.
    async fn until(&self, expected: impl Fn(&UdpStats) -> bool) -> UdpStats {
        let counted = async {
            while !expected(&self.stats()) {
                tokio::task::yield_now().await;
            }
        };
        if timeout(Duration::from_secs(10), counted).await.is_err() {
            panic!("{:?}", self.stats());
        }
        self.stats()
    }

    /// Aborts what is open, and checks that all leases have returned.
    async fn end(self) {
        self.proxy.shutdown(Duration::ZERO).await;
        soon(self.serving).await.expect("no panic").expect("no error");
        let in_flight: u32 = self.pool.endpoints().iter().map(|endpoint| endpoint.in_flight).sum();
        assert_eq!((self.proxy.stats().open, in_flight), (0, 0));
    }
}
