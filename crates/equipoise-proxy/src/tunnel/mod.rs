//! Tunnels: connections that have switched protocols, such as WebSocket. The proxy copies their bytes in both
//! directions and does not read them.

mod websocket;

use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use equipoise_tower::TunnelLease;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::watch,
};

pub(crate) use self::websocket::WebSocketKey;

use crate::relay::{Relay, RelayEnd};

/// The tunnels of a proxy: their settings, how many are open, and how they are closed.
///
/// A server that shuts down does not wait for a tunnel whose client uses HTTP/1.1. It waits for one over HTTP/2 as for a
/// request, because the tunnel is a stream of its connection, and aborts it at the deadline. So close the tunnels with
/// [`close`](Self::close) while the server shuts down, before its deadline, and wait for them with
/// [`closed`](Self::closed). Clones share the tunnels.
///
/// - If one side stops sending, the other side is told, and the other direction stays open (half-close).
/// - A tunnel ends if no byte passes in either direction for the [idle timeout](Self::idle_timeout).
/// - A tunnel ends if its endpoint accepts no requests any more
///   ([`TunnelLease::closing`](equipoise_tower::TunnelLease::closing)), for example after the deadline of a drain.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::Tunnels;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let tunnels = Tunnels::new().idle_timeout(Duration::from_secs(60));
/// // Give a clone to the proxy. While the server shuts down:
/// tunnels.close();
/// tunnels.closed().await;
/// assert_eq!(tunnels.open(), 0);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Tunnels {
    idle_timeout: Duration,
    /// Whether the tunnels must close. Each tunnel has a receiver, so the number of receivers is that of tunnels.
    closing: Arc<watch::Sender<bool>>,
}

impl Tunnels {
    /// Creates the default: tunnels that end after 10 minutes without a byte.
    #[must_use]
    pub fn new() -> Self {
        Self { idle_timeout: Duration::from_secs(600), closing: Arc::new(watch::Sender::new(false)) }
    }

    /// Sets how long a tunnel may be open without a byte in either direction. Default: 10 minutes. WebSocket clients
    /// usually send a ping at least once a minute.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Returns the number of open tunnels.
    pub fn open(&self) -> usize {
        self.closing.receiver_count()
    }

    /// Closes all tunnels, and each tunnel that opens from now on. Both sides get the end of the stream. Bytes that
    /// were read from one side but not yet written to the other one are lost (at most 256 KiB in each direction).
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until no tunnel is open.
    pub async fn closed(&self) {
        self.closing.closed().await;
    }

    /// Copies bytes between two connections until the tunnel ends.
    ///
    /// # Errors
    ///
    /// [`TunnelEnd`] if the tunnel has not ended by the ends of both directions.
    pub async fn copy<A, B>(&self, client: A, endpoint: B) -> Result<(), TunnelEnd>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let closing = self.closing.subscribe();
        self.run(client, endpoint, pending(), closing).await
    }

    async fn run<A, B>(
        &self,
        client: A,
        endpoint: B,
        ending: impl Future<Output = TunnelEnd>,
        mut closing: watch::Receiver<bool>,
    ) -> Result<(), TunnelEnd>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let mut relay = Relay::new(client, endpoint).idle_timeout(self.idle_timeout);
        let end = {
            // An error would mean that the sender is gone, but this tunnel holds it.
            let mut closing = pin!(closing.wait_for(|closing| *closing));
            let mut ending = pin!(ending);
            poll_fn(|cx| {
                if let Poll::Ready(result) = relay.poll(cx) {
                    return Poll::Ready(result.map_err(TunnelEnd::from));
                }
                if closing.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(TunnelEnd::Closed));
                }
                if let Poll::Ready(end) = ending.as_mut().poll(cx) {
                    return Poll::Ready(Err(end));
                }
                relay.poll_idle(cx).map(|()| Err(TunnelEnd::Idle))
            })
            .await
        };
        if end.is_err() {
            relay.shut_down().await;
        }
        end
    }

    /// Opens a tunnel in a task of its own when both sides have switched protocols. `lease` counts the tunnel as a
    /// request in flight at its endpoint.
    ///
    /// Returns false without a tokio runtime.
    pub(crate) fn spawn(&self, client: OnUpgrade, endpoint: OnUpgrade, lease: Option<TunnelLease>) -> bool {
        let switched = async { Ok::<_, hyper::Error>((TokioIo::new(client.await?), TokioIo::new(endpoint.await?))) };
        let ending = async move {
            match &lease {
                Some(lease) => lease.closing().await,
                None => pending().await,
            }
            TunnelEnd::EndpointClosing
        };
        self.spawn_with(switched, ending, |end| {
            if let Err(end) = end {
                tracing::debug!(%end, "a tunnel has ended early");
            }
        })
    }

    /// Opens a tunnel in a task of its own between the connections that `switched` returns. It ends when `ending` does.
    /// `on_end` gets how it has ended, if it was opened.
    ///
    /// Returns false without a tokio runtime.
    pub(crate) fn spawn_with<A, B>(
        &self,
        switched: impl Future<Output = Result<(A, B), hyper::Error>> + Send + 'static,
        ending: impl Future<Output = TunnelEnd> + Send + 'static,
        on_end: impl FnOnce(Result<(), TunnelEnd>) + Send + 'static,
    ) -> bool
    where
        A: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        B: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Ok(runtime) = Handle::try_current() else { return false };
        let (tunnels, mut closing) = (self.clone(), self.closing.subscribe());
        runtime.spawn(async move {
            let switched = {
                let mut switched = pin!(switched);
                let mut closing = pin!(closing.wait_for(|closing| *closing));
                poll_fn(|cx| match switched.as_mut().poll(cx) {
                    Poll::Pending => closing.as_mut().poll(cx).map(|_| None),
                    Poll::Ready(switched) => Poll::Ready(Some(switched)),
                })
                .await
            };
            match switched {
                Some(Ok((client, endpoint))) => on_end(tunnels.run(client, endpoint, ending, closing).await),
                Some(Err(error)) => tracing::debug!(%error, "a tunnel was not opened"),
                // One side has not switched in time. The other one is closed.
                None => {}
            }
        });
        true
    }
}

impl Default for Tunnels {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a tunnel has ended before both directions did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelEnd {
    /// No byte has passed for the [idle timeout](Tunnels::idle_timeout).
    #[error("no byte has passed in time")]
    Idle,
    /// [`Tunnels::close`] was called.
    #[error("all tunnels are being closed")]
    Closed,
    /// The endpoint accepts no requests any more.
    #[error("the endpoint accepts no requests any more")]
    EndpointClosing,
    /// A limit of the tunnel has been reached, for example on its time.
    #[error("a limit of the tunnel has been reached")]
    Limit,
    /// A connection broke.
    #[error("a connection broke")]
    Broken(#[source] std::io::Error),
}

impl TunnelEnd {
    /// Returns this reason as a stable label for metrics and logs: `idle`, `closed`, `endpoint_closing`,
    /// `limit` or `broken`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::EndpointClosing => "endpoint_closing",
            Self::Limit => "limit",
            Self::Broken(_) => "broken",
        }
    }
}

impl From<RelayEnd> for TunnelEnd {
    fn from(end: RelayEnd) -> Self {
        match end {
            RelayEnd::Client(error) | RelayEnd::Endpoint(error) => Self::Broken(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        task::JoinHandle,
        time::advance,
    };

    use super::*;

    fn opened(tunnels: &Tunnels) -> (DuplexStream, DuplexStream, JoinHandle<Result<(), TunnelEnd>>) {
        let (client, proxy_client) = duplex(64);
        let (proxy_endpoint, endpoint) = duplex(64);
        let tunnels = tunnels.clone();
        let task = tokio::spawn(async move { tunnels.copy(proxy_client, proxy_endpoint).await });
        (client, endpoint, task)
    }

    async fn passes(from: &mut DuplexStream, to: &mut DuplexStream) {
        from.write_all(b"bytes").await.expect("open");
        let mut bytes = [0; 5];
        to.read_exact(&mut bytes).await.expect("open");
        assert_eq!(&bytes, b"bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn each_direction_ends_by_itself() {
        let tunnels = Tunnels::new();
        let (mut client, mut endpoint, task) = opened(&tunnels);
        passes(&mut client, &mut endpoint).await;
        client.shutdown().await.expect("open");
        assert_eq!(endpoint.read(&mut [0; 8]).await.expect("ended"), 0);
        passes(&mut endpoint, &mut client).await;
        assert_eq!(tunnels.open(), 1);
        endpoint.shutdown().await.expect("open");
        task.await.expect("no panic").expect("both directions have ended");
        assert_eq!(tunnels.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_tunnels_that_wait_for_a_side_to_switch() {
        let service = hyper::service::service_fn(async |mut request: http::Request<hyper::body::Incoming>| {
            let client = hyper::upgrade::on(&mut request);
            // It switches only if a response says so, and none comes.
            let never = hyper::upgrade::on(&mut request);
            let tunnels: &Tunnels = request.extensions().get().expect("set below");
            assert!(tunnels.spawn(client, never, None));
            pending::<Result<http::Response<http_body_util::Empty<bytes::Bytes>>, hyper::Error>>().await
        });
        let tunnels = Tunnels::new();
        let set = tunnels.clone();
        let service = hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(set.clone());
            hyper::service::Service::call(&service, request)
        });
        let (mut client, server) = duplex(1024);
        let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::spawn(server.with_upgrades());
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            .await
            .expect("open");
        // The clock is paused, so this waits until nothing else can run.
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(tunnels.open(), 1);
        tunnels.close();
        tunnels.closed().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_ends_after_a_time_without_bytes_in_both_directions() {
        let (mut client, mut endpoint, task) = opened(&Tunnels::new().idle_timeout(Duration::from_secs(2)));
        for _ in 0..3 {
            passes(&mut client, &mut endpoint).await;
            advance(Duration::from_millis(1500)).await;
            passes(&mut endpoint, &mut client).await;
            advance(Duration::from_millis(1500)).await;
        }
        assert!(matches!(task.await.expect("no panic"), Err(TunnelEnd::Idle)));
        assert_eq!(client.read(&mut [0; 8]).await.expect("ended"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn closing_ends_all_tunnels() {
        let tunnels = Tunnels::new();
        let (mut client, mut endpoint, task) = opened(&tunnels);
        passes(&mut client, &mut endpoint).await;
        tunnels.close();
        tunnels.closed().await;
        assert!(matches!(task.await.expect("no panic"), Err(TunnelEnd::Closed)));
        assert_eq!(endpoint.read(&mut [0; 8]).await.expect("ended"), 0);
        let (_client, _endpoint, task) = opened(&tunnels);
        assert!(matches!(task.await.expect("no panic"), Err(TunnelEnd::Closed)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_side_ends_the_tunnel() {
        let (client, mut endpoint, task) = opened(&Tunnels::new());
        endpoint.write_all(b"bytes").await.expect("open");
        drop(client);
        assert!(matches!(task.await.expect("no panic"), Err(TunnelEnd::Broken(_))));
    }
}
