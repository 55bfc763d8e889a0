//! Copies bytes between a client and an endpoint, in both directions, until both have ended.
//!
//! An idle relay has no buffer. Bytes are read into a buffer of the thread, and written at once. Only bytes that cannot
//! be written are kept, in a buffer of their flow.

mod buffer;
mod flow;
#[cfg(all(feature = "splice", target_os = "linux"))]
mod pipe;
#[cfg(all(feature = "splice", target_os = "linux"))]
mod splice;

#[cfg(feature = "tcp")]
use std::future::poll_fn;
use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::Instant,
};

pub(crate) use self::flow::Flow;

#[cfg(feature = "tcp")]
use self::flow::poll_discard;
use self::flow::{Broken, Turn};
use crate::timing::{Alarm, within};

/// Maximum time to shut down each side at the end of a relay. A side that does not read any more must not hold it open.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time in which a client may read the rest of an answer, and end its direction, after the endpoint's connection
/// broke. As nginx's `lingering_timeout`.
#[cfg(feature = "tcp")]
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the TCP socket of a stream. `None` if the bytes of the stream are not those of a socket.
#[cfg(all(feature = "splice", target_os = "linux"))]
pub(crate) type Socket<T> = fn(&T) -> Option<&tokio::net::TcpStream>;

/// Two connections, and the bytes between them.
pub(crate) struct Relay<A, B> {
    pub(crate) client: A,
    pub(crate) endpoint: B,
    /// From the client to the endpoint.
    up: Flow,
    /// From the endpoint to the client.
    down: Flow,
    idle_timeout: Duration,
    /// When the latest byte has passed.
    latest: Instant,
    alarm: Alarm,
    /// Why no byte can be sent to the endpoint any more. What it has sent before is still passed on.
    endpoint_error: Option<io::Error>,
    /// Whether both streams are sockets.
    are_sockets: bool,
    /// Whether the client is not told that the endpoint has ended its direction before a byte has passed.
    holds_unused: bool,
    #[cfg(all(feature = "splice", target_os = "linux"))]
    sockets: Option<(Socket<A>, Socket<B>)>,
}

/// Why a relay has ended before both directions did.
#[derive(Debug)]
pub(crate) enum RelayEnd {
    /// The connection of the client broke.
    Client(io::Error),
    /// The connection of the endpoint broke.
    Endpoint(io::Error),
}

impl<A, B> Relay<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    pub(crate) fn new(client: A, endpoint: B) -> Self {
        Self {
            client,
            endpoint,
            up: Flow::new(),
            down: Flow::new(),
            idle_timeout: Duration::MAX,
            latest: Instant::now(),
            alarm: Alarm::default(),
            endpoint_error: None,
            are_sockets: false,
            holds_unused: false,
            #[cfg(all(feature = "splice", target_os = "linux"))]
            sockets: None,
        }
    }

    /// Sets how long the relay lasts without a byte in either direction. Default: no limit.
    pub(crate) fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets the bytes of the client that were read before, and have to be sent, and an alarm that was used before.
    #[cfg(feature = "tcp")]
    pub(crate) fn begun(mut self, up: Flow, alarm: Alarm) -> Self {
        (self.up, self.alarm) = (up, alarm);
        self
    }

    /// Sets whether both streams are sockets. Dropping one ends its direction, so the second direction is not shut down
    /// before. A write that fails has sent nothing; with TLS, it may have sent a part. Default: false.
    #[cfg(feature = "tcp")]
    pub(crate) fn are_sockets(mut self, are: bool) -> Self {
        self.are_sockets = are;
        self
    }

    /// Sets whether the client is not told of it if the endpoint ends its direction before a byte has passed in either
    /// one, and before the client has ended its own. Default: false.
    #[cfg(feature = "tcp")]
    pub(crate) fn hold_unused(&mut self, hold: bool) {
        self.holds_unused = hold;
    }

    /// Returns whether unused connections are [held](Self::hold_unused).
    #[cfg(feature = "tcp")]
    pub(crate) fn holds_unused(&self) -> bool {
        self.holds_unused
    }

    /// Returns whether the relay waits for bytes of the client. If not, it does not notice that the client is gone.
    #[cfg(feature = "tcp")]
    pub(crate) fn reads_client(&self) -> bool {
        self.up.is_reading()
    }

    /// Returns whether the endpoint has ended its direction, and this is [held](Self::hold_unused).
    #[cfg(feature = "tcp")]
    pub(crate) fn is_held(&self) -> bool {
        self.down.has_ended() && self.holds_unused && self.is_unused()
    }

    /// Lets large flows pass without a copy, if both sides are sockets.
    #[cfg(all(feature = "splice", target_os = "linux"))]
    pub(crate) fn splice(mut self, client: Socket<A>, endpoint: Socket<B>) -> Self {
        self.sockets = Some((client, endpoint));
        self
    }

    /// Returns the number of bytes that were written to the endpoint.
    #[cfg(feature = "tcp")]
    pub(crate) fn sent(&self) -> u64 {
        self.up.written
    }

    /// Returns the number of bytes that were read from the endpoint.
    #[cfg(feature = "tcp")]
    pub(crate) fn received(&self) -> u64 {
        self.down.read
    }

    /// Returns whether the client has ended its direction, and all its bytes were sent.
    #[cfg(feature = "tcp")]
    pub(crate) fn client_has_ended(&self) -> bool {
        self.up.has_ended()
    }

    /// Returns whether the endpoint has ended its direction, and the client was sent all its bytes.
    #[cfg(feature = "tcp")]
    pub(crate) fn endpoint_has_ended(&self) -> bool {
        self.down.has_ended()
    }

    /// Returns the client, its bytes that were not sent, and the alarm.
    #[cfg(feature = "tcp")]
    pub(crate) fn into_unsent(self) -> (A, Flow, Alarm) {
        (self.client, self.up.restarted(), self.alarm)
    }

    /// Copies until both directions have ended.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RelayEnd>> {
        let mut turn = Turn::new(cx);
        let up = match self.poll_up(&mut turn) {
            Poll::Ready(Err(Broken::Read(error))) => return Poll::Ready(Err(RelayEnd::Client(error))),
            Poll::Ready(Err(Broken::Write(error))) => {
                self.up.stop();
                self.endpoint_error = Some(error);
                Poll::Pending
            }
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        };
        let down = match self.poll_down(&mut turn) {
            Poll::Ready(Err(Broken::Read(error))) => return Poll::Ready(Err(RelayEnd::Endpoint(error))),
            Poll::Ready(Err(Broken::Write(error))) => return Poll::Ready(Err(RelayEnd::Client(error))),
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        };
        if let Some(error) = self.endpoint_error.take_if(|_| self.down.has_ended()) {
            return Poll::Ready(Err(RelayEnd::Endpoint(error)));
        }
        if turn.moved() > 0 {
            self.latest = Instant::now();
        }
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Waits until no byte has passed for the idle timeout. Bytes that pass need not be followed by a poll.
    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.latest.checked_add(self.idle_timeout) {
            Some(end) => self.alarm.poll(cx, end),
            None => Poll::Pending,
        }
    }

    fn poll_up(&mut self, turn: &mut Turn<'_, '_>) -> Poll<Result<(), Broken>> {
        #[cfg(all(feature = "splice", target_os = "linux"))]
        if self.up.is_bulk()
            && let Some((client, endpoint)) = self.sockets
            && let Some((client, endpoint)) = client(&self.client).zip(endpoint(&self.endpoint))
        {
            ready!(self.up.poll_splice(turn, client, endpoint))?;
        }
        if self.up.is_copying() {
            ready!(self.up.poll_copy(turn, &mut self.client, &mut self.endpoint))?;
        }
        self.up.poll_end(turn, &mut self.endpoint, self.are_sockets && self.down.is_over())
    }

    fn poll_down(&mut self, turn: &mut Turn<'_, '_>) -> Poll<Result<(), Broken>> {
        #[cfg(all(feature = "splice", target_os = "linux"))]
        if self.down.is_bulk()
            && let Some((client, endpoint)) = self.sockets
            && let Some((client, endpoint)) = client(&self.client).zip(endpoint(&self.endpoint))
        {
            ready!(self.down.poll_splice(turn, endpoint, client))?;
        }
        if self.down.is_copying() {
            ready!(self.down.poll_copy(turn, &mut self.endpoint, &mut self.client))?;
        }
        self.poll_down_end(turn)
    }

    fn poll_down_end(&mut self, turn: &mut Turn<'_, '_>) -> Poll<Result<(), Broken>> {
        // The caller decides what the client is told.
        if self.endpoint_error.is_some() || self.holds_unused && self.is_unused() {
            return Poll::Pending;
        }
        self.down.poll_end(turn, &mut self.client, self.are_sockets && self.up.is_over())
    }

    /// Returns whether another endpoint could serve the client: none of its bytes was sent, nor its end, and none was
    /// received.
    pub(crate) fn is_unused(&self) -> bool {
        let nothing_sent = self.up.written == 0 && (self.are_sockets || self.up.read == 0);
        nothing_sent && self.down.read == 0 && !self.up.has_ended()
    }

    /// Shuts both sides down, before the end of a relay that has not ended by itself. With TLS, this sends close_notify.
    pub(crate) async fn shut_down(&mut self) {
        let _ = within(SHUTDOWN_TIMEOUT, self.client.shutdown()).await;
        let _ = within(SHUTDOWN_TIMEOUT, self.endpoint.shutdown()).await;
    }

    /// Ends the direction to the client, and waits until it has ended the other one, for a limited time. What it sends is
    /// discarded: bytes that are not read would turn the end into a reset, which discards the answer before it.
    #[cfg(feature = "tcp")]
    pub(crate) async fn linger(self) {
        let Self { mut client, endpoint, .. } = self;
        drop(endpoint);
        let _ = within(SHUTDOWN_TIMEOUT, client.shutdown()).await;
        let _ = within(LINGER_TIMEOUT, poll_fn(|cx| poll_discard(cx, &mut client))).await;
    }
}

#[cfg(all(test, feature = "splice", target_os = "linux"))]
mod tests {
    use tokio::{
        io::AsyncReadExt,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let client = TcpStream::connect(address).await.expect("it listens");
        (client, listener.accept().await.expect("a connection").0)
    }

    #[tokio::test]
    async fn a_large_flow_passes_through_a_pipe() {
        // More than the buffers of the sockets take.
        const LENGTH: usize = 32 << 20;
        let ((mut client, from), (to, mut endpoint)) = (sockets().await, sockets().await);
        let bytes: Vec<u8> = (0..LENGTH).map(|at| (at >> 3) as u8 ^ at as u8).collect();
        let sent = bytes.clone();
        let sending = tokio::spawn(async move {
            client.write_all(&sent).await.expect("open");
            client.shutdown().await.expect("open");
            client.read_to_end(&mut Vec::new()).await.expect("an orderly end");
        });
        let mut relay = Relay::new(from, to).splice(|socket| Some(socket), |socket| Some(socket));
        poll_fn(|cx| {
            assert!(relay.poll(cx).is_pending());
            if relay.up.spliced.is_filled() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(!relay.reads_client());
        let receiving = tokio::spawn(async move {
            let mut received = Vec::new();
            endpoint.read_to_end(&mut received).await.expect("an orderly end");
            received
        });
        poll_fn(|cx| relay.poll(cx)).await.expect("both directions end");
        drop(relay);
        assert!(receiving.await.expect("no panic") == bytes);
        sending.await.expect("no panic");
    }
}
