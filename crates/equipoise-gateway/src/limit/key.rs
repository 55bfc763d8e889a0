use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use equipoise_affinity::source::ClientAddress;
use equipoise_core::{__private::guarded, SourcePrefix};
use equipoise_proxy::route::RouteNote;
use equipoise_tower::RequestHead;
use http::{HeaderName, StatusCode};

use crate::{Denial, Identity};

type KeyFn = dyn Fn(RequestHead<'_>) -> Option<Vec<u8>> + Send + Sync;

/// The property by which requests are counted: requests with the same key share a bucket.
///
/// Keys can be combined with [`and`](Self::and), for example to limit each client on each route separately.
///
/// ```
/// use equipoise_gateway::limit::LimitKey;
/// use http::HeaderName;
///
/// let key = LimitKey::route().and(LimitKey::header(HeaderName::from_static("x-tenant")));
/// # drop(key);
/// ```
#[derive(Clone)]
pub struct LimitKey {
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Client(ClientAddress, SourcePrefix, Arc<AtomicBool>),
    Header(HeaderName),
    Identity,
    Route,
    Global,
    Custom(Arc<KeyFn>),
}

impl LimitKey {
    /// Counts by the address of the client: all 32 bits of an IPv4 address, and the first 64 bits of an IPv6 address,
    /// because a client chooses the other 64 bits itself. An IPv4-mapped IPv6 address counts as the IPv4 address.
    ///
    /// `source` determines the address. Behind proxies, it should trust exactly these proxies. The key is missing if
    /// the address of the peer is unknown: the server has not set
    /// [`PeerAddr`](equipoise_affinity::source::PeerAddr) in the extensions of the request. Then
    /// [`MissingKey`](super::MissingKey) decides, and by default all such requests share one bucket. The first such request
    /// writes a warning to the log.
    ///
    /// The server of `equipoise-proxy` sets the address. `axum::serve` does not. With axum, serve the router with
    /// `into_make_service_with_connect_info::<SocketAddr>()`, and read axum's extension with [`ClientAddress::peer`].
    #[must_use]
    pub fn client(source: ClientAddress) -> Self {
        Self::network(source, SourcePrefix::default())
    }

    /// Counts by the network of the client: by the first bits of its address. Otherwise as [`client`](Self::client).
    #[must_use]
    pub fn network(source: ClientAddress, prefix: SourcePrefix) -> Self {
        Self::part(Part::Client(source, prefix, Arc::default()))
    }

    /// Counts by the value of a request header, such as that of an API key. The value is compared byte by byte. The key
    /// is missing if the request has not exactly one line of this header, or if the value is empty: with a second line,
    /// a client could get a new bucket while the backend still reads the first line.
    ///
    /// Clients choose the values of headers. A limit by a header that nothing has verified limits only honest clients,
    /// so combine it with a limit by address, or use [`identity`](Self::identity) behind an authentication.
    #[must_use]
    pub fn header(name: HeaderName) -> Self {
        Self::part(Part::Header(name))
    }

    /// Counts by the [`Identity`] that an authentication layer has verified: its mechanism and its name, and
    /// the [other schemes](Identity::other_schemes) that had to accept the request. The key is missing if the
    /// request has no identity, for example because this layer is outside of the authentication, or if the identity has
    /// an empty name, which tells no clients apart.
    #[must_use]
    pub fn identity() -> Self {
        Self::part(Part::Identity)
    }

    /// Counts by the name of the route in the request's [`RouteNote`]. The key is missing if the request has no note,
    /// or if no router has written the note yet.
    #[must_use]
    pub fn route() -> Self {
        Self::part(Part::Route)
    }

    /// Counts all requests together.
    #[must_use]
    pub fn global() -> Self {
        Self::part(Part::Global)
    }

    /// Counts by what a closure returns. The key is missing if the closure returns `None` or panics.
    #[must_use]
    pub fn custom<K: Into<Vec<u8>>>(key: impl Fn(RequestHead<'_>) -> Option<K> + Send + Sync + 'static) -> Self {
        Self::part(Part::Custom(Arc::new(move |head| key(head).map(Into::into))))
    }

    /// Combines two keys. Requests share a bucket if both keys are the same. The combined key is missing if one of the
    /// two is missing.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    fn part(part: Part) -> Self {
        Self { parts: vec![part] }
    }

    /// Whether all requests have the same key.
    pub(super) fn is_constant(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Global))
    }

    /// Whether the verified identity is a part of the key.
    pub(super) fn uses_identity(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Identity))
    }

    /// Passes the parts of the request's key to `sink`, always the same number of parts. Returns false if the key is
    /// missing. Does not allocate, except for closures.
    pub(super) fn write(&self, head: RequestHead<'_>, sink: &mut dyn FnMut(&[u8])) -> bool {
        self.parts.iter().all(|part| part.write(head, sink).is_some())
    }
}

impl Part {
    fn write(&self, head: RequestHead<'_>, sink: &mut dyn FnMut(&[u8])) -> Option<()> {
        match self {
            Self::Client(source, prefix, has_warned) => {
                let Some(address): Option<IpAddr> = source.of(head) else {
                    if !has_warned.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            "a limit by client cannot tell clients apart, because a request has no address of its peer: \
                             the server must set the extension PeerAddr, or ClientAddress::peer must read another one \
                             (axum::serve sets none without into_make_service_with_connect_info)"
                        );
                    }
                    return None;
                };
                sink(&prefix.key(address));
            }
            Self::Header(name) => {
                let mut lines = head.headers.get_all(name).iter();
                match (lines.next(), lines.next()) {
                    (Some(line), None) if !line.as_bytes().trim_ascii().is_empty() => {
                        sink(line.as_bytes().trim_ascii());
                    }
                    _ => return None,
                }
            }
            Self::Identity => {
                let identity = head.extensions.get::<Identity>()?;
                let others = identity.other_schemes();
                if identity.name().is_empty() && others.is_empty() {
                    return None;
                }
                sink(identity.mechanism().as_str().as_bytes());
                sink(identity.name().as_bytes());
                sink(others.as_bytes());
            }
            Self::Route => sink(head.extensions.get::<RouteNote>()?.name()?.as_bytes()),
            Self::Global => sink(b""),
            Self::Custom(key) => sink(&guarded(|| key(head)).flatten()?),
        }
        Some(())
    }
}

impl fmt::Debug for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.parts).finish()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(source, prefix, _) => f.debug_tuple("Client").field(source).field(prefix).finish(),
            Self::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Self::Identity => f.write_str("Identity"),
            Self::Route => f.write_str("Route"),
            Self::Global => f.write_str("Global"),
            Self::Custom(_) => f.write_str("Custom(..)"),
        }
    }
}

/// What happens to requests without the key of a limit, for example without the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingKey {
    /// All requests without the key share one bucket. So no client escapes a limit by leaving out its key.
    #[default]
    Shared,
    /// The limit does not apply to the request. Choose it if another limit applies to such requests.
    Skip,
    /// The request is denied with status 400 and the code `limit_key_missing`.
    Deny,
}

impl MissingKey {
    /// Returns the denial of a request without a key that is required.
    pub(super) fn denial() -> Denial {
        Denial::new(StatusCode::BAD_REQUEST, "limit_key_missing", "the request has no key by which it could be limited")
    }
}

/// 128 bits that stand for a key: two keyed hashes (SipHash) of it with secrets of the process. Clients do not know the
/// secrets, so they cannot find keys with the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct KeyId(pub(super) [u64; 2]);

/// The secrets of [`KeyId`]s.
#[derive(Debug, Default)]
pub(super) struct KeyHasher(RandomState, RandomState);

impl KeyHasher {
    /// The bucket that requests without a key share.
    pub(super) const MISSING: KeyId = KeyId([0; 2]);

    /// Returns the hash of the request's key; `None` if the key is missing. O(length of the key).
    pub(super) fn hash(&self, key: &LimitKey, head: RequestHead<'_>) -> Option<KeyId> {
        let (mut one, mut other) = (self.0.build_hasher(), self.1.build_hasher());
        key.write(head, &mut |part| {
            for hasher in [&mut one, &mut other] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
        })
        .then(|| KeyId([one.finish(), other.finish()]))
    }
}

#[cfg(test)]
mod tests {
    use equipoise_affinity::source::{ForwardedHeader, PeerAddr};
    use http::Request;

    use super::*;
    use crate::Mechanism;

    fn id(hasher: &KeyHasher, key: &LimitKey, request: &Request<()>) -> Option<KeyId> {
        hasher.hash(key, RequestHead::of(request))
    }

    fn from(address: &str) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(PeerAddr(std::net::SocketAddr::new(address.parse().expect("an address"), 1)));
        request
    }

    #[test]
    fn the_notations_of_an_address_are_one_key() {
        let (hasher, key) = (KeyHasher::default(), LimitKey::client(ClientAddress::connection()));
        let id = |address| id(&hasher, &key, &from(address));
        assert_eq!(id("192.0.2.7"), id("::ffff:192.0.2.7"));
        assert_eq!(id("192.0.2.7"), id("::ffff:c000:207"));
        assert_ne!(id("192.0.2.7"), id("192.0.2.8"));
        assert_eq!(id("2001:db8:0:1::1"), id("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(id("2001:db8:0:1::1"), id("2001:db8:0:2::1"));
    }

    #[test]
    fn a_forged_forwarding_header_changes_no_key() {
        let (hasher, key) = (KeyHasher::default(), LimitKey::client(ClientAddress::connection()));
        let plain = from("192.0.2.7");
        let mut forged = from("192.0.2.7");
        forged.headers_mut().insert("x-forwarded-for", http::HeaderValue::from_static("6.6.6.6"));
        assert_eq!(id(&hasher, &key, &plain), id(&hasher, &key, &forged));
        let behind =
            ClientAddress::behind("192.0.2.7".parse().expect("a network")).header(ForwardedHeader::XForwardedFor);
        let behind = LimitKey::client(behind);
        let proxied = |text: &'static str| {
            let mut request = from("192.0.2.7");
            request.headers_mut().insert("x-forwarded-for", http::HeaderValue::from_static(text));
            id(&hasher, &behind, &request)
        };
        assert_eq!(proxied("1.1.1.1, 203.0.113.9"), proxied("2.2.2.2, ::ffff:203.0.113.9"));
    }

    #[test]
    fn a_header_is_a_key_only_if_there_is_one_line_with_a_value() {
        let (hasher, key) = (KeyHasher::default(), LimitKey::header(HeaderName::from_static("x-key")));
        let with = |lines: &[&'static str]| {
            let mut request = Request::new(());
            for line in lines {
                request.headers_mut().append("X-KEY", http::HeaderValue::from_static(line));
            }
            id(&hasher, &key, &request)
        };
        assert!(with(&["a"]).is_some());
        assert_eq!(with(&["a"]), with(&[" a\t"]));
        assert_ne!(with(&["a"]), with(&["A"]));
        for missing in [&[][..], &["a", "b"], &["a", "a"], &[""], &["  "]] {
            assert_eq!(with(missing), None, "{missing:?}");
        }
    }

    #[test]
    fn parts_of_combined_keys_do_not_run_into_each_other() {
        let hasher = KeyHasher::default();
        let key = LimitKey::header(HeaderName::from_static("a")).and(LimitKey::header(HeaderName::from_static("b")));
        let with = |a, b| {
            let request = Request::builder().header("a", a).header("b", b).body(()).expect("a request");
            id(&hasher, &key, &request)
        };
        assert_ne!(with("xy", "z"), with("x", "yz"));
        assert_eq!(with("x", ""), None);
    }

    #[test]
    fn identities_of_different_mechanisms_are_different_keys() {
        let (hasher, key) = (KeyHasher::default(), LimitKey::identity());
        let with = |mechanism| {
            let mut request = Request::new(());
            request.extensions_mut().insert(Identity::new("ann", mechanism));
            id(&hasher, &key, &request)
        };
        assert_eq!(with(Mechanism::Basic), with(Mechanism::Basic));
        assert_ne!(with(Mechanism::Basic), with(Mechanism::Jwt));
        assert_eq!(id(&hasher, &key, &Request::new(())), None);
    }

    #[test]
    fn an_identity_without_a_name_is_no_key() {
        let (hasher, key) = (KeyHasher::default(), LimitKey::identity());
        let with = |name: &str, others: &str| {
            let mut request = Request::new(());
            let identity = Identity::new(name, Mechanism::External).and_other_schemes(others);
            request.extensions_mut().insert(identity);
            id(&hasher, &key, &request)
        };
        assert_eq!(with("", ""), None);
        assert_ne!(with("partner", "basic:ann"), with("partner", "basic:bob"));
        assert_ne!(with("", "basic:ann"), with("", "basic:bob"));
        assert_eq!(with("partner", "basic:ann"), with("partner", "basic:ann"));
    }

    #[test]
    fn a_closure_that_panics_has_no_key() {
        let key = LimitKey::custom(|_| -> Option<Vec<u8>> { panic!("in a closure") });
        assert_eq!(id(&KeyHasher::default(), &key, &Request::new(())), None);
    }
}
