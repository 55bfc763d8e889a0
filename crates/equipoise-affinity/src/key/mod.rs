//! Session keys: the part of a request that identifies its session, such as a header, a cookie or the client's address.
//! [`SessionKey`] says which part it is, and reads it from requests.

mod rule;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use equipoise_core::SourcePrefix;
use equipoise_tower::RequestHead;

use self::rule::Rule;
pub use self::rule::{Extracted, SessionKey};
use crate::{read::is_token, source::ClientAddress};

impl SessionKey {
    /// The default maximum length of a session key, in bytes: 4096. [`max_len`](Self::max_len) sets another maximum.
    pub const MAX_LEN: usize = 4096;

    /// Creates a key from the client's IP address. `client` determines the address. `prefix` says how many leading bits
    /// of the address are used, so that clients of one network can have the same key. The key is absent if the client's
    /// address is not known.
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

    /// Creates a key from the value of the header `name`, without the white space around the value. If there are
    /// several header lines of this name, the last one that is not empty is used, because the nearest proxy added it
    /// (HAProxy's `req.fhdr`). A list with commas is one value. The key is absent if the request has no such header.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Header`] if no header can have this name.
    pub fn header(name: &str) -> Result<Self, InvalidSessionKey> {
        let parsed = name.parse().map_err(|_| InvalidSessionKey::Header { name: name.to_owned() })?;
        Ok(Rule::Header(parsed).into())
    }

    /// Creates a key from the value of the request's cookie `name`, without the quotes around the value. The cookie may
    /// be one that the application sets. If the request has several cookies of this name, the first one that is not
    /// empty is used. The key is absent if the request has no such cookie.
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

    /// Creates a key from the value of the query parameter `name`. Example: with the name `sid`, the key of
    /// `/cart?item=7&sid=3f9a` is `3f9a`. If there are several parameters of this name, the first one that is not empty
    /// is used. The key is absent if there is none.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Parameter`] if no parameter of a URL can have this name.
    pub fn query_parameter(name: &str) -> Result<Self, InvalidSessionKey> {
        Ok(Rule::Query(parameter(name, "&=#")?).into())
    }

    /// Creates a key from the value of the path parameter `name`. Example: with the name `sid`, the key of
    /// `/shop;sid=3f9a/cart` is `3f9a`. Some servers write such parameters for clients without cookies. If there are
    /// several parameters of this name, the first one that is not empty is used. The key is absent if there is none.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::Parameter`] if no parameter of a URL can have this name.
    pub fn path_parameter(name: &str) -> Result<Self, InvalidSessionKey> {
        Ok(Rule::PathParameter(parameter(name, ";=/?#")?).into())
    }

    /// Creates a key from the whole path of the URI, without the query.
    #[must_use]
    pub fn path() -> Self {
        Rule::Path.into()
    }

    /// Creates a key from the segment `index` of the path. 0 is the first segment: segment 1 of `/tenants/acme/users`
    /// is `acme`. The key is absent if the path has fewer segments.
    #[must_use]
    pub fn path_segment(index: usize) -> Self {
        Rule::PathSegment(index).into()
    }

    /// Creates a key from the first `segments` segments of the path, without a slash at the end. With 2 segments, the
    /// key of `/tenants/acme/users` and of `/tenants/acme/` is `/tenants/acme`. If the path has fewer segments, all are
    /// used. The key is absent for the path `/`.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::NoSegments`] if `segments` is 0.
    pub fn path_prefix(segments: usize) -> Result<Self, InvalidSessionKey> {
        if segments == 0 { Err(InvalidSessionKey::NoSegments) } else { Ok(Rule::PathPrefix(segments).into()) }
    }

    /// Creates a key from the requested host: the host in the URI, or the `Host` header if the URI has no host. The key
    /// is in lower case, and has no port and no dot at the end. The key is absent if the request has no host.
    #[must_use]
    pub fn host() -> Self {
        Rule::Host.into()
    }

    /// Creates a key that a closure computes from the request. The key is absent if the closure returns `None` or an
    /// empty value, or panics.
    ///
    /// ```
    /// use equipoise_affinity::key::{Extracted, SessionKey};
    /// use equipoise_tower::RequestHead;
    ///
    /// #[derive(Clone)]
    /// struct User(String); // An outer layer adds it to the request's extensions.
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

    /// Returns a key that uses `other` if this key is absent or too long. The maximum length of the returned key is the
    /// larger [`max_len`](Self::max_len) of the two keys.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let max_len = self.max_len.max(other.max_len);
        Self { rule: self.rule.or(other.rule), max_len }
    }

    /// Returns a key that combines this key and `other`. The combined key is absent if one of the two keys is absent,
    /// and too long if one of them is too long. The maximum length of the combined key is the larger
    /// [`max_len`](Self::max_len) of the two keys.
    ///
    /// The boundary between the two keys is a part of the combined key: `ab` and `c` give another key than `a` and
    /// `bc`.
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

    /// Sets the maximum length of the key, in bytes. A longer key is not used: [`of`](Self::of) returns
    /// [`Extracted::Oversized`]. Default: [`MAX_LEN`](Self::MAX_LEN), which is 4096. Range: 1 to 65,535.
    ///
    /// The limit applies to the whole key and to each of its parts. [`and`](Self::and) and [`or`](Self::or) use the
    /// larger limit of their two keys, so set a smaller limit after them.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionKey::MaxLen`] if `bytes` is out of range.
    pub fn max_len(mut self, bytes: usize) -> Result<Self, InvalidSessionKey> {
        if !(1..=rule::MAX_LEN).contains(&bytes) {
            return Err(InvalidSessionKey::MaxLen { bytes, max: rule::MAX_LEN });
        }
        self.max_len = bytes;
        Ok(self)
    }
}

impl From<Rule> for SessionKey {
    fn from(rule: Rule) -> Self {
        Self { rule, max_len: Self::MAX_LEN }
    }
}

/// Returns `name`, or an error if it is empty or contains a character that ends names in a URL.
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
    /// The name that was passed to [`SessionKey::header`] is not a valid name of a header.
    #[error("{name:?} is not a header name: use letters, digits and !#$%&'*+-.^_`|~")]
    Header {
        /// The name of the header that was refused.
        name: String,
    },
    /// The name that was passed to [`SessionKey::cookie`] is not a valid name of a cookie.
    #[error("{name:?} is not a cookie name: use letters, digits and !#$%&'*+-.^_`|~")]
    Cookie {
        /// The name of the cookie that was refused.
        name: String,
    },
    /// The name that was passed to [`SessionKey::query_parameter`] or [`SessionKey::path_parameter`] is not a valid
    /// name of a URL parameter.
    #[error("{name:?} is not a parameter name: write it as in a URL, with special characters as %XX")]
    Parameter {
        /// The name of the parameter that was refused.
        name: String,
    },
    /// [`SessionKey::path_prefix`] was called with 0 segments. All requests would have the same key.
    #[error("the first 0 segments of a path do not distinguish sessions: use at least 1")]
    NoSegments,
    /// The argument of [`SessionKey::max_len`] is out of range.
    #[error("the maximum length of a key cannot be {bytes} bytes: use 1 to {max}")]
    MaxLen {
        /// The maximum length that was refused, in bytes.
        bytes: usize,
        /// The largest maximum length that is allowed, in bytes.
        max: usize,
    },
}
