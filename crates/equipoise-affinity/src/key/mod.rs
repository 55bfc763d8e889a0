//! The part of a request that identifies its session: [`SessionKey`].

mod rule;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use equipoise_core::SourcePrefix;
use equipoise_tower::RequestHead;

pub use self::rule::Extracted;
use self::rule::Rule;
use crate::{read::is_token, source::ClientAddress};

/// The part of a request that identifies its session. Requests with the same key belong to the same session.
///
/// Values are used byte for byte as they are in the request: nothing is decoded, and case matters (except in
/// [`host`](Self::host)), as in nginx and HAProxy. An empty value counts as absent. A value longer than
/// [`max_len`](Self::max_len) is not used, and reported separately, since it may be an attempt to fill a session store.
///
/// Keys from different parts are equal if their bytes are: the cookie `SID` and the path parameter `sid` of a session
/// are one key. The exceptions are a [`source`](Self::source) and a [combination](Self::and). Their keys begin with a
/// byte that no header or URI can contain, so a client cannot imitate them.
///
/// No key is a secret, and clients can choose any key except the source. A client that sends another session's key
/// reaches that session's endpoint, and nothing more.
///
/// ```
/// use equipoise_affinity::key::{Extracted, SessionKey};
/// use equipoise_tower::RequestHead;
///
/// // As in Java servers: the cookie, or the path parameter of clients without cookies.
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
    rule: Rule,
    max_len: usize,
}

impl SessionKey {
    /// Default of [`max_len`](Self::max_len): 4096 bytes.
    pub const MAX_LEN: usize = 4096;

    /// The client's address, shortened to a network of `prefix` bits. Absent if the address is not known.
    ///
    /// ```
    /// use equipoise_affinity::{key::SessionKey, source::{ClientAddress, ForwardedHeader, TrustedProxies}};
    /// use equipoise_core::SourcePrefix;
    ///
    /// let client = ClientAddress::behind(TrustedProxies::private()).header(ForwardedHeader::XForwardedFor);
    /// let key = SessionKey::source(client, SourcePrefix::new(24, 56)?);
    /// # Ok::<(), equipoise_core::InvalidHashing>(())
    /// ```
    #[must_use]
    pub fn source(client: ClientAddress, prefix: SourcePrefix) -> Self {
        Rule::Source(client, prefix).into()
    }

    /// The value of a header, without white space around it. If there are several lines, the last one is used, which the
    /// nearest proxy added, as with HAProxy's `req.fhdr`. A comma-separated list is one value.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Header`] if no header can have this name.
    pub fn header(name: &str) -> Result<Self, InvalidSessionKey> {
        let parsed = name.parse().map_err(|_| InvalidSessionKey::Header { name: name.to_owned() })?;
        Ok(Rule::Header(parsed).into())
    }

    /// The value of a request cookie, without quotes around it. The cookie may be the application's own. If there are
    /// several cookies of this name, the first that is not empty is used.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Cookie`] if no cookie can have this name.
    pub fn cookie(name: &str) -> Result<Self, InvalidSessionKey> {
        if is_token(name) {
            Ok(Rule::Cookie(name.into()).into())
        } else {
            Err(InvalidSessionKey::Cookie { name: name.to_owned() })
        }
    }

    /// The value of a query parameter: `3f9a` for `sid` in `/cart?item=7&sid=3f9a`. If there are several parameters of
    /// this name, the first that is not empty is used.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Parameter`] if no parameter of a URL can have this name.
    pub fn query_parameter(name: &str) -> Result<Self, InvalidSessionKey> {
        Ok(Rule::Query(parameter(name, "&=#")?).into())
    }

    /// The value of a path parameter: `3f9a` for `sid` in `/shop;sid=3f9a/cart`. Servers write it for clients without
    /// cookies. If there are several parameters of this name, the first that is not empty is used.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Parameter`] if no parameter of a URL can have this name.
    pub fn path_parameter(name: &str) -> Result<Self, InvalidSessionKey> {
        Ok(Rule::PathParameter(parameter(name, ";=/?#")?).into())
    }

    /// The whole path, without the query.
    #[must_use]
    pub fn path() -> Self {
        Rule::Path.into()
    }

    /// One segment of the path, counted from 0: segment 1 of `/tenants/acme/users` is `acme`. Absent if the path has
    /// fewer segments.
    #[must_use]
    pub fn path_segment(index: usize) -> Self {
        Rule::PathSegment(index).into()
    }

    /// The first `segments` segments of the path, or all if there are fewer: for 2, `/tenants/acme` of both
    /// `/tenants/acme/users` and `/tenants/acme/`. Absent for `/`.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::NoSegments`] if `segments` is 0.
    pub fn path_prefix(segments: usize) -> Result<Self, InvalidSessionKey> {
        if segments == 0 { Err(InvalidSessionKey::NoSegments) } else { Ok(Rule::PathPrefix(segments).into()) }
    }

    /// The requested host, from the URI or else the `Host` header: in lower case, without the port and without a dot at
    /// the end.
    #[must_use]
    pub fn host() -> Self {
        Rule::Host.into()
    }

    /// The value that a closure computes from the request. If the closure panics, the key is absent.
    ///
    /// ```
    /// use equipoise_affinity::key::{Extracted, SessionKey};
    /// use equipoise_tower::RequestHead;
    ///
    /// #[derive(Clone)]
    /// struct User(String); // An outer layer has added it to the request.
    ///
    /// let key = SessionKey::by(|head| Some(head.extensions.get::<User>()?.0.as_bytes().into()));
    ///
    /// let mut request = http::Request::new(());
    /// assert_eq!(key.of(RequestHead::of(&request)), Extracted::Absent);
    /// request.extensions_mut().insert(User("ada".to_owned()));
    /// assert_eq!(key.of(RequestHead::of(&request)), Extracted::Found(b"ada".into()));
    /// ```
    #[must_use]
    pub fn by(key: impl for<'r> Fn(RequestHead<'r>) -> Option<Cow<'r, [u8]>> + Send + Sync + 'static) -> Self {
        Rule::By(Arc::new(key)).into()
    }

    /// This key, or `other` if this one is absent or too long.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let max_len = self.max_len.max(other.max_len);
        Self { rule: self.rule.or(other.rule), max_len }
    }

    /// This key and `other` combined. Absent if either is. Combinations are unambiguous: `ab` and `c` make another key
    /// than `a` and `bc`.
    ///
    /// ```
    /// use equipoise_affinity::key::{Extracted, SessionKey};
    /// use equipoise_tower::RequestHead;
    ///
    /// let key = SessionKey::host().and(SessionKey::header("x-user")?);
    /// let request = http::Request::get("https://acme.example/").header("x-user", "ada").body(())?;
    /// assert!(matches!(key.of(RequestHead::of(&request)), Extracted::Found(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let max_len = self.max_len.max(other.max_len);
        Self { rule: self.rule.and(other.rule), max_len }
    }

    /// Sets the maximum length of the key, and of each part of a combination, in bytes. Default:
    /// [`MAX_LEN`](Self::MAX_LEN). When keys are combined, the larger of their limits applies; it can be set again
    /// afterwards.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::MaxLen`] unless it is from 1 to 65,535.
    pub fn max_len(mut self, bytes: usize) -> Result<Self, InvalidSessionKey> {
        if !(1..=rule::MAX_LEN).contains(&bytes) {
            return Err(InvalidSessionKey::MaxLen { bytes, max: rule::MAX_LEN });
        }
        self.max_len = bytes;
        Ok(self)
    }

    /// Returns the key of a request. O(length of the parts it reads). Allocates only for a source, a combination, and a
    /// host in upper case.
    #[must_use]
    pub fn of<'r>(&self, head: RequestHead<'r>) -> Extracted<'r> {
        self.rule.find(head, self.max_len)
    }
}

impl From<Rule> for SessionKey {
    fn from(rule: Rule) -> Self {
        Self { rule, max_len: Self::MAX_LEN }
    }
}

/// Returns `name`, unless it contains a character that ends names in a URL.
fn parameter(name: &str, ends: &str) -> Result<Box<str>, InvalidSessionKey> {
    if name.is_empty() || name.chars().any(|c| ends.contains(c) || c.is_whitespace() || c.is_control()) {
        return Err(InvalidSessionKey::Parameter { name: name.to_owned() });
    }
    Ok(name.into())
}

/// Why a [`SessionKey`] cannot be created.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSessionKey {
    /// No header can have that name.
    #[error("{name:?} is not a header name: use letters, digits and !#$%&'*+-.^_`|~")]
    Header {
        /// The name as given.
        name: String,
    },
    /// No cookie can have that name.
    #[error("{name:?} is not a cookie name: use letters, digits and !#$%&'*+-.^_`|~")]
    Cookie {
        /// The name as given.
        name: String,
    },
    /// No parameter can have that name.
    #[error("{name:?} is not a parameter name: write it as in a URL, with special characters as %XX")]
    Parameter {
        /// The name as given.
        name: String,
    },
    /// A prefix of 0 segments would be the same key for all requests.
    #[error("the first 0 segments of a path do not distinguish sessions: use at least 1")]
    NoSegments,
    /// The maximum length is out of range.
    #[error("the maximum length of a key cannot be {bytes} bytes: use 1 to {max}")]
    MaxLen {
        /// The maximum length as given, in bytes.
        bytes: usize,
        /// The largest possible value, in bytes.
        max: usize,
    },
}
