use std::{borrow::Cow, fmt, sync::Arc};

use equipoise_core::SourcePrefix;
use equipoise_tower::RequestHead;
use http::{HeaderName, header};

use crate::{guard::guarded, read, scan, source::ClientAddress};

/// The largest allowed [`max_len`](SessionKey::max_len), in bytes. A combined key stores the length of each part in 2
/// bytes.
pub(super) const MAX_LEN: usize = u16::MAX as usize;

/// The first bytes of keys that are not copied from a request. No header and no URI can contain them.
const SOURCE: u8 = 0;
const JOINED: u8 = 1;

/// The part of a request that identifies its session. Requests with the same key belong to the same session.
///
/// The key consists of the same bytes as in the request. Nothing is decoded, and upper and lower case differ, as in
/// nginx and HAProxy. Only [`host`](Self::host) converts to lower case. An empty value is treated like a missing value.
/// A key longer than [`max_len`](Self::max_len) is not used, because clients could fill a session store with long keys.
/// [`of`](Self::of) then returns [`Extracted::Oversized`].
///
/// Keys with the same bytes are equal, even if they are read from different parts of a request. For example, a session
/// has the same key whether a request has the key in the cookie `SID` or in the path parameter `sid`. A key from
/// [`source`](Self::source) or [`and`](Self::and) is never equal to a key that is read from a header or URI: the key
/// begins with a byte that headers and URIs cannot contain. So clients cannot imitate such a key.
///
/// Keys are not secret. A client can choose every key except its source address. A client that sends the key of another
/// session reaches the endpoint of that session, and gains nothing else.
///
/// ```
/// use equipoise_affinity::key::{Extracted, SessionKey};
/// use equipoise_tower::RequestHead;
///
/// // As in Java servers: the cookie, or else the path parameter, which clients without cookies send.
/// let key = SessionKey::cookie("JSESSIONID")?.or(SessionKey::path_parameter("jsessionid")?);
///
/// let request = http::Request::get("/shop/cart;jsessionid=3f9a?item=7").body(())?;
/// assert_eq!(key.of(RequestHead::of(&request)), Extracted::Found(b"3f9a".into()));
///
/// let request = http::Request::get("/shop/cart").header("cookie", "lang=de; JSESSIONID=3f9a").body(())?;
/// assert_eq!(key.of(RequestHead::of(&request)), Extracted::Found(b"3f9a".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SessionKey {
    pub(super) rule: Rule,
    pub(super) max_len: usize,
}

impl SessionKey {
    /// Returns the session key of a request. `head` is the head of the request. Takes O(n) time for the n bytes of the
    /// request that are read. Allocates memory only for a [`source`](Self::source), for a combination with
    /// [`and`](Self::and), for a host in upper case, and in closures.
    #[must_use]
    pub fn of<'r>(&self, head: RequestHead<'r>) -> Extracted<'r> {
        self.rule.find(head, self.max_len)
    }
}

/// The session key of a request, or why there is none. [`SessionKey::of`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extracted<'r> {
    /// The session key. It has at least one byte.
    Found(Cow<'r, [u8]>),
    /// The request has no session key, or the session key is empty.
    Absent,
    /// The session key is longer than [`SessionKey::max_len`], so it must not be used.
    Oversized,
}

impl<'r> Extracted<'r> {
    /// Returns the variant's name as a label for metrics: `found`, `absent` or `oversized`. Labels are stable.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::Absent => "absent",
            Self::Oversized => "oversized",
        }
    }

    /// Returns the session key, or `None` if it is absent or oversized.
    ///
    /// ```
    /// use equipoise_affinity::key::SessionKey;
    /// use equipoise_tower::HttpProtocol;
    ///
    /// // Hashing strategies can use the same key, without a session store.
    /// let user = SessionKey::header("x-user")?;
    /// let http = HttpProtocol::new().key(move |head| user.of(head).found());
    /// # Ok::<(), equipoise_affinity::key::InvalidSessionKey>(())
    /// ```
    #[must_use]
    pub fn found(self) -> Option<Cow<'r, [u8]>> {
        match self {
            Self::Found(key) => Some(key),
            Self::Absent | Self::Oversized => None,
        }
    }

    fn within(key: Option<Cow<'r, [u8]>>, max_len: usize) -> Self {
        match key {
            None => Self::Absent,
            Some(key) if key.is_empty() => Self::Absent,
            Some(key) if key.len() > max_len => Self::Oversized,
            Some(key) => Self::Found(key),
        }
    }
}

type KeyFn = dyn for<'r> Fn(RequestHead<'r>) -> Option<Cow<'r, [u8]>> + Send + Sync;

#[derive(Clone)]
pub(super) enum Rule {
    Source(ClientAddress, SourcePrefix),
    Header(HeaderName),
    Cookie(Box<str>),
    Query(Box<str>),
    PathParameter(Box<str>),
    Path,
    PathSegment(usize),
    PathPrefix(usize),
    Host,
    By(Arc<KeyFn>),
    First(Vec<Rule>),
    Joined(Vec<Rule>),
}

impl Rule {
    pub(super) fn or(self, other: Self) -> Self {
        let mut rules = if let Self::First(rules) = self { rules } else { vec![self] };
        rules.push(other);
        Self::First(rules)
    }

    pub(super) fn and(self, other: Self) -> Self {
        let mut rules = if let Self::Joined(rules) = self { rules } else { vec![self] };
        rules.push(other);
        Self::Joined(rules)
    }

    fn find<'r>(&self, head: RequestHead<'r>, max_len: usize) -> Extracted<'r> {
        let uri = head.uri;
        let key = match self {
            Self::Source(client, prefix) => {
                client.of(head).map(|client| Cow::Owned([&[SOURCE][..], &prefix.key(client)].concat()))
            }
            Self::Header(name) => read::header(head.headers, name).map(Cow::Borrowed),
            Self::Cookie(name) => read::cookie(head.headers, name).map(Cow::Borrowed),
            Self::Query(name) => uri.query().and_then(|query| read::query_parameter(query, name)).map(Cow::Borrowed),
            Self::PathParameter(name) => read::path_parameter(uri.path(), name).map(Cow::Borrowed),
            Self::Path => Some(Cow::Borrowed(uri.path().as_bytes())),
            Self::PathSegment(index) => path_segment(uri.path(), *index).map(Cow::Borrowed),
            Self::PathPrefix(segments) => Some(Cow::Borrowed(path_prefix(uri.path(), *segments))),
            Self::Host => host(head),
            Self::By(key) => guarded(|| key(head)).flatten(),
            Self::First(rules) => return first(rules, head, max_len),
            Self::Joined(rules) => return joined(rules, head, max_len),
        };
        Extracted::within(key, max_len)
    }
}

fn first<'r>(rules: &[Rule], head: RequestHead<'r>, max_len: usize) -> Extracted<'r> {
    let mut otherwise = Extracted::Absent;
    for rule in rules {
        match rule.find(head, max_len) {
            Extracted::Found(key) => return Extracted::Found(key),
            Extracted::Oversized => otherwise = Extracted::Oversized,
            Extracted::Absent => {}
        }
    }
    otherwise
}

/// Combines the keys of `rules`: two bytes with the length of a key, then the key.
fn joined<'r>(rules: &[Rule], head: RequestHead<'r>, max_len: usize) -> Extracted<'r> {
    let mut key = vec![JOINED];
    for rule in rules {
        let part = match rule.find(head, max_len) {
            Extracted::Found(part) => part,
            other => return other,
        };
        let Ok(length) = u16::try_from(part.len()) else { return Extracted::Oversized };
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(&part);
    }
    Extracted::within(Some(Cow::Owned(key)), max_len)
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(client, prefix) => f.debug_tuple("Source").field(client).field(prefix).finish(),
            Self::Header(name) => f.debug_tuple("Header").field(name).finish(),
            Self::Cookie(name) => f.debug_tuple("Cookie").field(name).finish(),
            Self::Query(name) => f.debug_tuple("Query").field(name).finish(),
            Self::PathParameter(name) => f.debug_tuple("PathParameter").field(name).finish(),
            Self::Path => f.write_str("Path"),
            Self::PathSegment(index) => f.debug_tuple("PathSegment").field(index).finish(),
            Self::PathPrefix(segments) => f.debug_tuple("PathPrefix").field(segments).finish(),
            Self::Host => f.write_str("Host"),
            Self::By(_) => f.write_str("By(..)"),
            Self::First(rules) => f.debug_tuple("First").field(rules).finish(),
            Self::Joined(rules) => f.debug_tuple("Joined").field(rules).finish(),
        }
    }
}

fn path_segment(path: &str, index: usize) -> Option<&[u8]> {
    scan::split(path.as_bytes().strip_prefix(b"/")?, b'/').nth(index)
}

fn path_prefix(path: &str, segments: usize) -> &[u8] {
    let path = path.as_bytes();
    let slashes = scan::bytes(path).enumerate().filter(|(_, byte)| *byte == b'/').map(|(at, _)| at);
    let end = slashes.skip(1).nth(segments.saturating_sub(1));
    let prefix = end.and_then(|end| path.get(..end)).unwrap_or(path);
    let end = scan::rfind(prefix, |byte| byte != b'/').map_or(0, |last| last + 1);
    prefix.get(..end).unwrap_or(prefix)
}

/// Returns the host of the URI (HTTP/2, HTTP/3 and requests to proxies have one), or else the host of the `Host`
/// header.
fn host(head: RequestHead<'_>) -> Option<Cow<'_, [u8]>> {
    let host = match head.uri.host() {
        Some(host) => host.as_bytes(),
        None => without_port(scan::trim(head.headers.get(header::HOST)?.as_bytes())),
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    Some(if scan::find(host, |byte| byte.is_ascii_uppercase()).is_some() {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

fn without_port(host: &[u8]) -> &[u8] {
    // An IPv6 address is in brackets, so a colon before `]` does not begin the port.
    let from = scan::find(host, |byte| byte == b']').unwrap_or(0);
    let colon = scan::find(host.get(from..).unwrap_or_default(), |byte| byte == b':');
    colon.and_then(|colon| host.get(..from + colon)).unwrap_or(host)
}
