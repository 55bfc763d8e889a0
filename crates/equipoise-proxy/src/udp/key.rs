//! Which datagrams belong to the same session.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use equipoise_core::__private::guarded;

/// The maximum length of a key. Each open session keeps its key.
const MAX_KEY: usize = 255;

type Find = dyn Fn(&[u8]) -> Option<&[u8]> + Send + Sync;

/// What identifies the session of a datagram, and what a hashing strategy places the session by.
///
/// A client is an address with a port. If the listener has several addresses, a client that sends to two of them has
/// two sessions.
///
/// A function that finds a key in datagrams returns a part of its argument, of at most 255 bytes. A datagram belongs to
/// the [session of its client](Self::client) if the function returns `None` or a longer key, or panics.
///
/// ```
/// use equipoise_proxy::udp::{SessionKey, UdpSettings};
///
/// // A session for each DNS query: the first two bytes are its id.
/// let settings = UdpSettings::new()
///     .session_key(SessionKey::client_and(|datagram| datagram.get(..2)))
///     .max_replies(1);
/// # drop(settings);
/// ```
#[derive(Clone)]
pub struct SessionKey {
    find: Option<Arc<Find>>,
    per_client: bool,
}

impl SessionKey {
    /// Each client has one session. A hashing strategy gets the
    /// [prefix of the client's address](super::UdpSettings::source_prefix) as the key. This is the default.
    #[must_use]
    pub const fn client() -> Self {
        Self { find: None, per_client: true }
    }

    /// Each client has a session for each key that `find` returns, for example for each DNS query. A hashing strategy
    /// gets the same key as with [`client`](Self::client), so all sessions of a client go to the same endpoint.
    ///
    /// A client can open as many sessions as there are keys: see
    /// [`max_sessions_per_source`](super::UdpSettings::max_sessions_per_source).
    #[must_use]
    pub fn client_and(find: impl Fn(&[u8]) -> Option<&[u8]> + Send + Sync + 'static) -> Self {
        Self { find: Some(Arc::new(find)), per_client: true }
    }

    /// All datagrams with the same key belong to one session, whatever their source is, for example those of a QUIC
    /// connection or a DTLS connection (RFC 9146) whose connection id does not change. Replies go to the source of the
    /// latest datagram. A hashing strategy gets the key that `find` returns.
    ///
    /// **Security**: a sender that knows a key, and sends a datagram with it, gets the replies of the session, until the client
    /// sends its next datagram. Use keys that cannot be guessed, or a protocol that checks a new address of its peer. The
    /// replies are encrypted in QUIC and DTLS, and in most other protocols they are not.
    ///
    /// With several listeners on one port, the system chooses the listener by the client's address. A client with a new
    /// address may come to another listener, which opens a session of its own. A hashing strategy then places it on the
    /// same endpoint.
    #[must_use]
    pub fn datagram(find: impl Fn(&[u8]) -> Option<&[u8]> + Send + Sync + 'static) -> Self {
        Self { find: Some(Arc::new(find)), per_client: false }
    }

    /// Returns whether datagrams of one client may belong to different sessions.
    pub(super) fn reads_datagrams(&self) -> bool {
        self.find.is_some()
    }

    /// Returns the identity of a datagram's session.
    pub(super) fn of<'a>(&self, client: SocketAddr, local: Option<IpAddr>, datagram: &'a [u8]) -> Identity<'a> {
        let find = self.find.as_ref();
        // A panic of the function must not end the listener.
        let key = find.and_then(|find| guarded(|| find(datagram)).flatten()).filter(|key| key.len() <= MAX_KEY);
        match key {
            Some(key) if self.per_client => Identity { client: Some((client, local)), key },
            Some(key) => Identity { client: None, key },
            None => Identity { client: Some((client, local)), key: &[] },
        }
    }
}

impl Default for SessionKey {
    fn default() -> Self {
        Self::client()
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (&self.find, self.per_client) {
            (None, _) => "client",
            (Some(_), true) => "client_and",
            (Some(_), false) => "datagram",
        };
        f.debug_tuple("SessionKey").field(&name).finish()
    }
}

/// What is the same in all datagrams of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity<'a> {
    /// The client, and the address that it sends to if the listener may have several. `None` if only the key counts.
    pub(super) client: Option<(SocketAddr, Option<IpAddr>)>,
    pub(super) key: &'a [u8],
}

/// An [`Identity`] with a key of its own.
#[derive(Debug)]
pub(super) struct OwnedIdentity {
    client: Option<(SocketAddr, Option<IpAddr>)>,
    key: Box<[u8]>,
}

impl OwnedIdentity {
    pub(super) fn as_ref(&self) -> Identity<'_> {
        Identity { client: self.client, key: &self.key }
    }
}

impl From<Identity<'_>> for OwnedIdentity {
    fn from(identity: Identity<'_>) -> Self {
        Self { client: identity.client, key: identity.key.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_that_of_a_client_of_both_or_of_the_datagram_alone() {
        let (client, local) = (SocketAddr::from(([192, 0, 2, 7], 4000)), Some(IpAddr::from([10, 0, 0, 1])));
        let identity = |key: SessionKey, datagram| key.of(client, local, datagram);
        let of_client = Identity { client: Some((client, local)), key: &[] };
        fn first_two(datagram: &[u8]) -> Option<&[u8]> {
            datagram.get(..2)
        }
        assert_eq!(identity(SessionKey::client(), b"abc"), of_client);
        assert_eq!(identity(SessionKey::client_and(first_two), b"abc"), Identity { key: b"ab", ..of_client });
        assert_eq!(identity(SessionKey::datagram(first_two), b"abc"), Identity { client: None, key: b"ab" });
        for key in [SessionKey::client_and(first_two), SessionKey::datagram(first_two)] {
            assert_eq!(identity(key, b"a"), of_client);
        }
    }

    #[test]
    fn a_function_that_panics_or_returns_too_much_finds_no_key() {
        let client = SocketAddr::from(([192, 0, 2, 7], 4000));
        let of_client = Identity { client: Some((client, None)), key: &[] };
        assert_eq!(SessionKey::datagram(|datagram| Some(&datagram[..2])).of(client, None, b"a"), of_client);
        let (longest, longer) = ([0; MAX_KEY], [0; MAX_KEY + 1]);
        let all = SessionKey::datagram(|datagram| Some(datagram));
        assert_eq!(all.of(client, None, &longest), Identity { client: None, key: &longest });
        assert_eq!(all.of(client, None, &longer), of_client);
    }
}
