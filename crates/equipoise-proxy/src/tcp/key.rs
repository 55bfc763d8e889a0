use std::{fmt, future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use equipoise_core::{__private::guarded, SourceKey, SourcePrefix};
use tokio::io::AsyncRead;

use crate::{headers::ConnectionInfo, relay::Flow, timing::within};

/// The maximum of `max_bytes`: so many bytes are kept for each connection of which the key is not known yet.
const MAX_FIRST_BYTES: usize = 64 * 1024;

/// Where the key of a connection comes from. Hashing strategies send all connections with the same key to the same
/// endpoint. Other strategies need no key, and then none is made.
#[derive(Clone, Debug, Default)]
pub struct TcpKey(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    None,
    Source(SourcePrefix),
    ServerName,
    FirstBytes(ReadFirst),
}

/// What a closure has found in the first bytes of a connection. See [`TcpKey::first_bytes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstBytes {
    /// The key.
    Key(Vec<u8>),
    /// The connection has no key.
    NoKey,
    /// More bytes are needed.
    Incomplete,
}

/// How a key is found in the first bytes of a connection.
#[derive(Clone)]
pub(super) struct ReadFirst {
    max_bytes: usize,
    timeout: Duration,
    find: Arc<Find>,
}

type Find = dyn Fn(&[u8]) -> FirstBytes + Send + Sync;

impl fmt::Debug for ReadFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadFirst")
            .field("max_bytes", &self.max_bytes)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl TcpKey {
    /// No key. This is the default.
    #[must_use]
    pub const fn none() -> Self {
        Self(Kind::None)
    }

    /// The address of the client, or its first bits. [`SourcePrefix::default`] is a good choice. Connections of clients
    /// without an IP address have no key.
    ///
    /// ```
    /// use equipoise_core::SourcePrefix;
    /// use equipoise_proxy::tcp::TcpKey;
    ///
    /// let networks = TcpKey::source(SourcePrefix::new(24, 56)?);
    /// # drop(networks);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn source(prefix: SourcePrefix) -> Self {
        Self(Kind::Source(prefix))
    }

    /// The name of the server in the TLS handshake of the client:
    /// [`ConnectionInfo::server_name`](crate::headers::ConnectionInfo::server_name). The listener sets it. Connections
    /// without a name have no key.
    #[must_use]
    pub const fn server_name() -> Self {
        Self(Kind::ServerName)
    }

    /// A key that `find` finds in the first bytes of the client. The bytes are then sent to the endpoint as usual.
    ///
    /// `find` is called with all bytes so far, each time more have come, until it returns something else than
    /// [`FirstBytes::Incomplete`]. The connection goes on without a key if `find` returns that for `max_bytes` bytes (at
    /// most 65 536; more count as so many), if the key is not found within `timeout` after the connection was established,
    /// if the client ends its direction before, or if `find` panics. A client that sends single bytes causes a call for
    /// each of them, so `find` should be cheap, and `max_bytes` small. Do not use it for protocols in which the server
    /// speaks first: each connection would wait for the whole timeout.
    ///
    /// ```
    /// use std::time::Duration;
    /// use equipoise_proxy::tcp::{FirstBytes, TcpKey};
    ///
    /// // The first line, for example the name of a room.
    /// let line = |bytes: &[u8]| match bytes.iter().position(|byte| *byte == b'\n') {
    ///     Some(end) => FirstBytes::Key(bytes[..end].to_vec()),
    ///     None => FirstBytes::Incomplete,
    /// };
    /// let key = TcpKey::first_bytes(256, Duration::from_secs(1), line);
    /// # drop(key);
    /// ```
    #[must_use]
    pub fn first_bytes(
        max_bytes: usize,
        timeout: Duration,
        find: impl Fn(&[u8]) -> FirstBytes + Send + Sync + 'static,
    ) -> Self {
        Self(Kind::FirstBytes(ReadFirst { max_bytes: max_bytes.min(MAX_FIRST_BYTES), timeout, find: Arc::new(find) }))
    }

    /// Returns the key of a connection, or how it is found in the first bytes.
    pub(super) fn of(&self, peer: Option<SocketAddr>, info: &ConnectionInfo) -> Result<Key, &ReadFirst> {
        Ok(match &self.0 {
            Kind::None => Key::None,
            Kind::Source(prefix) => peer.map_or(Key::None, |peer| Key::Source(prefix.key(peer.ip()))),
            Kind::ServerName => info.server_name().map_or(Key::None, |name| Key::Bytes(name.as_bytes().into())),
            Kind::FirstBytes(first) => return Err(first),
        })
    }
}

impl ReadFirst {
    /// Reads the first bytes of a connection, and adds them to `flow`.
    pub(super) async fn key<Io: AsyncRead + Unpin>(&self, client: &mut Io, flow: &mut Flow) -> io::Result<Key> {
        within(self.timeout, self.read(client, flow)).await.unwrap_or(Ok(Key::None))
    }

    async fn read<Io: AsyncRead + Unpin>(&self, client: &mut Io, flow: &mut Flow) -> io::Result<Key> {
        while flow.unwritten().len() < self.max_bytes {
            let missing = self.max_bytes - flow.unwritten().len();
            if poll_fn(|cx| flow.poll_read(cx, client, missing)).await? == 0 {
                break;
            }
            match guarded(|| (self.find)(flow.unwritten())) {
                Some(FirstBytes::Key(key)) => return Ok(Key::Bytes(key.into())),
                Some(FirstBytes::Incomplete) => {}
                Some(FirstBytes::NoKey) | None => break,
            }
        }
        Ok(Key::None)
    }
}

/// The key of a connection.
#[derive(Debug)]
pub(super) enum Key {
    None,
    Source(SourceKey),
    Bytes(Box<[u8]>),
}

impl Key {
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::None => None,
            Self::Source(key) => Some(key),
            Self::Bytes(key) => Some(key),
        }
    }
}
