use std::{borrow::Cow, fmt, sync::Arc};

use equipoise_core::SourcePrefix;
use equipoise_tower::RequestHead;
use http::HeaderName;

use super::{host::host, parts};
use crate::{guard::guarded, read, source::ClientAddress};

/// The largest limit that keys may have: the length of each of several parts is 2 bytes of the key.
pub(super) const MOST: usize = u16::MAX as usize;

/// The first bytes of keys that are not as they stand in a request. Neither a header nor a URI can have them.
const SOURCE: u8 = 0;
const JOINED: u8 = 1;

/// What [`SessionKey::of`](super::SessionKey::of) found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extracted<'r> {
    /// The key, at least a byte long.
    Found(Cow<'r, [u8]>),
    /// There is none: the request has no such thing, or it is empty.
    Absent,
    /// There is one, but it is longer than the limit. Not to be used.
    Oversized,
}

impl<'r> Extracted<'r> {
    /// The key, if there is one.
    ///
    /// ```
    /// use equipoise_affinity::key::SessionKey;
    /// use equipoise_tower::Http;
    ///
    /// // Without a table: by a hash of the same key.
    /// let user = SessionKey::header("x-user")?;
    /// let http = Http::new().key(move |head| user.of(head).found());
    /// # Ok::<(), equipoise_affinity::key::InvalidSessionKey>(())
    /// ```
    #[must_use]
    pub fn found(self) -> Option<Cow<'r, [u8]>> {
        match self {
            Self::Found(key) => Some(key),
            Self::Absent | Self::Oversized => None,
        }
    }

    fn within(key: Option<Cow<'r, [u8]>>, longest: usize) -> Self {
        match key {
            None => Self::Absent,
            Some(key) if key.is_empty() => Self::Absent,
            Some(key) if key.len() > longest => Self::Oversized,
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

    pub(super) fn find<'r>(&self, head: RequestHead<'r>, longest: usize) -> Extracted<'r> {
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
            Self::PathSegment(index) => parts::path_segment(uri.path(), *index).map(Cow::Borrowed),
            Self::PathPrefix(segments) => Some(Cow::Borrowed(parts::path_prefix(uri.path(), *segments))),
            Self::Host => host(head),
            Self::By(key) => guarded(|| key(head)).flatten(),
            Self::First(rules) => return first(rules, head, longest),
            Self::Joined(rules) => return joined(rules, head, longest),
        };
        Extracted::within(key, longest)
    }
}

fn first<'r>(rules: &[Rule], head: RequestHead<'r>, longest: usize) -> Extracted<'r> {
    let mut otherwise = Extracted::Absent;
    for rule in rules {
        match rule.find(head, longest) {
            Extracted::Found(key) => return Extracted::Found(key),
            Extracted::Oversized => otherwise = Extracted::Oversized,
            Extracted::Absent => {}
        }
    }
    otherwise
}

/// Each part after its length.
fn joined<'r>(rules: &[Rule], head: RequestHead<'r>, longest: usize) -> Extracted<'r> {
    let mut key = vec![JOINED];
    for rule in rules {
        let part = match rule.find(head, longest) {
            Extracted::Found(part) => part,
            other => return other,
        };
        let Ok(length) = u16::try_from(part.len()) else { return Extracted::Oversized };
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(&part);
    }
    Extracted::within(Some(Cow::Owned(key)), longest)
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
