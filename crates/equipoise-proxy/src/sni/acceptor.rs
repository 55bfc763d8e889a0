use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::io::AsyncRead;

use super::{
    hello::InvalidHello,
    reassembly::{Reassembly, Start},
};
use crate::{
    counter::Counter,
    listen::{Established, Prefixed, read_more},
    timing::within,
};

/// The default time for a ClientHello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads the ClientHello of connections. Clones share the counters, so several listeners can have one acceptor.
#[derive(Clone, Debug)]
pub struct SniAcceptor {
    hello_timeout: Duration,
    passes_other: bool,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    hellos: Counter,
    other: Counter,
    malformed: Counter,
    timeouts: Counter,
    closed: Counter,
}

/// Counters of a [`SniAcceptor`] or a [`SniRouter`](super::SniRouter), since it was created. Those that only a router has
/// are 0 for an acceptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SniStats {
    /// Number of connections whose ClientHello was read.
    pub hellos: u64,
    /// Number of connections that do not begin with TLS. They were closed, unless
    /// [`pass_other`](SniAcceptor::pass_other) is set.
    pub other: u64,
    /// Number of connections closed because their ClientHello is malformed or too long.
    pub malformed: u64,
    /// Number of connections closed because the ClientHello was not complete in time.
    pub timeouts: u64,
    /// Number of connections that the client closed or reset before the ClientHello was complete.
    pub closed: u64,
    /// Number of connections closed because a [`SniRouter`](super::SniRouter) has no target for them, with and without TLS.
    pub unrouted: u64,
    /// Number of open connections of a [`SniRouter`](super::SniRouter), including those whose ClientHello is not complete.
    pub open: u64,
    /// Maximum number of open connections: [`SniRouter::max_connections`](super::SniRouter::max_connections). At the
    /// maximum, further connections wait.
    pub max_open: u64,
    /// Number of connections that a [`SniRouter`](super::SniRouter) has accepted.
    pub accepted: u64,
    /// Number of errors of a [`SniRouter`](super::SniRouter) while accepting connections, such as too many open files.
    pub accept_errors: u64,
    /// Number of connections that a [`SniRouter`](super::SniRouter) has aborted at the deadline of a shutdown.
    pub aborted: u64,
}

/// Why a connection was closed before it was served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SniError {
    /// The connection does not begin with TLS.
    #[error("the connection does not begin with TLS")]
    NotTls,
    /// The connection does not begin with a valid ClientHello.
    #[error("the connection does not begin with a valid ClientHello")]
    Malformed(#[source] InvalidHello),
    /// The ClientHello was not complete within the [`hello_timeout`](SniAcceptor::hello_timeout).
    #[error("no complete ClientHello within {timeout:?}")]
    TimedOut {
        /// The timeout that has passed.
        timeout: Duration,
    },
    /// The client closed the connection before the ClientHello was complete.
    #[error("the connection was closed before its ClientHello was complete")]
    Closed,
    /// The connection failed.
    #[error("the connection failed before its ClientHello was complete")]
    Io(#[source] io::Error),
}

impl SniAcceptor {
    /// Creates an acceptor with the defaults that the methods name.
    #[must_use]
    pub fn new() -> Self {
        Self { hello_timeout: HELLO_TIMEOUT, passes_other: false, counters: Arc::default() }
    }

    /// Sets the maximum time from the begin of a connection until its ClientHello is complete. It also limits how long a
    /// client may send nothing. Default: 5 s. In a runtime without a timer, it never ends.
    #[must_use]
    pub fn hello_timeout(mut self, timeout: Duration) -> Self {
        self.hello_timeout = timeout;
        self
    }

    /// Sets what happens with connections that do not begin with TLS. If true, they are passed on without a ClientHello. If
    /// false, they are closed. Default: false.
    #[must_use]
    pub fn pass_other(mut self, pass: bool) -> Self {
        self.passes_other = pass;
        self
    }

    /// Returns the counters.
    pub fn stats(&self) -> SniStats {
        let Counters { hellos, other, malformed, timeouts, closed } = &*self.counters;
        SniStats {
            hellos: hellos.get(),
            other: other.get(),
            malformed: malformed.get(),
            timeouts: timeouts.get(),
            closed: closed.get(),
            ..SniStats::default()
        }
    }

    /// Reads the ClientHello of a connection that was accepted elsewhere. Returns the connection with it in its
    /// [`ConnectionInfo`](crate::headers::ConnectionInfo). All that was read is read again from the returned stream.
    ///
    /// # Errors
    ///
    /// [`SniError`] tells why the connection cannot be served. It is closed.
    pub async fn accept<Io>(&self, connection: Established<Io>) -> Result<Established<Prefixed<Io>>, SniError>
    where
        Io: AsyncRead + Unpin,
    {
        let timeout = self.hello_timeout;
        let read = within(timeout, read(connection)).await.unwrap_or(Err(SniError::TimedOut { timeout }));
        let counters = &*self.counters;
        let counter = match &read {
            Ok((Start::Tls(_), ..)) => &counters.hellos,
            Ok((Start::Other, ..)) => &counters.other,
            Err(SniError::Malformed(_)) => &counters.malformed,
            Err(SniError::TimedOut { .. }) => &counters.timeouts,
            Err(_) => &counters.closed,
        };
        counter.add(1);
        let (start, bytes, connection) = read?;
        let mut connection = connection.map(|io| Prefixed::new(bytes, io));
        match start {
            Start::Tls(hello) => connection.info = connection.info.hello(hello),
            Start::Other if self.passes_other => {}
            Start::Other => return Err(SniError::NotTls),
        }
        Ok(connection)
    }
}

impl Default for SniAcceptor {
    fn default() -> Self {
        Self::new()
    }
}

async fn read<Io: AsyncRead + Unpin>(
    mut connection: Established<Io>,
) -> Result<(Start, Bytes, Established<Io>), SniError> {
    let mut reassembly = Reassembly::new();
    loop {
        if read_more(&mut connection.io, reassembly.buffer()).await.map_err(SniError::Io)? == 0 {
            return Err(SniError::Closed);
        }
        if let Some(start) = reassembly.advance().map_err(SniError::Malformed)? {
            return Ok((start, reassembly.into_read(), connection));
        }
    }
}
