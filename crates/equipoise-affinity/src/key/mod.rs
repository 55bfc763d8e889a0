//! What a session is told by: [`SessionKey`].

mod error;
mod host;
mod parts;
mod rule;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc};

use equipoise_core::SourcePrefix;
use equipoise_tower::RequestHead;

use self::rule::Rule;
pub use self::{error::InvalidSessionKey, rule::Extracted};
use crate::{read::is_token, source::ClientAddress};

/// Which part of a request tells its session: requests with the same key belong together.
///
/// Values are taken as they stand in the request, byte for byte: nothing is decoded, case matters (but in
/// [`host`](Self::host)), as with nginx and HAProxy. An empty value is none. So is a longer one than the
/// [limit](Self::longest), which is told apart, since it may be an attempt to fill the table.
///
/// Keys of different parts are not kept apart: the cookie `SID` and the path parameter `sid` of one session are one key.
/// Where a client could write what means something else elsewhere, they are: the key of a [`source`](Self::source) or of
/// [several parts](Self::and) begins with a byte that no text in a request can have.
///
/// None of these is a secret, and all but the source a client is free to choose. Whoever knows the key of another's
/// session reaches its endpoint, no more.
///
/// ```
/// use equipoise_affinity::key::{Extracted, SessionKey};
/// use equipoise_tower::RequestHead;
///
/// // As Java servers do it: a cookie, or in the path for those who keep none.
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
    longest: usize,
}

impl SessionKey {
    /// The longest key by default, in bytes.
    pub const LONGEST: usize = 4096;

    /// The client's address, or its network: its first so many bits. Absent if the address is not known.
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

    /// A header, without the white space around it. Of several lines the last counts, as with HAProxy's `req.fhdr`: the
    /// one that the nearest proxy added. A list is not taken apart.
    ///
    /// # Errors
    ///
    /// When no header can have that name.
    pub fn header(name: &str) -> Result<Self, InvalidSessionKey> {
        let parsed = name.parse().map_err(|_| InvalidSessionKey::Header { name: name.to_owned() })?;
        Ok(Rule::Header(parsed).into())
    }

    /// A request cookie: the application's own, or of another layer. Quotes around its value are no part of it. Of several of that
    /// name, the first counts that is not empty.
    ///
    /// # Errors
    ///
    /// When no cookie can have that name.
    pub fn cookie(name: &str) -> Result<Self, InvalidSessionKey> {
        if is_token(name) {
            Ok(Rule::Cookie(name.into()).into())
        } else {
            Err(InvalidSessionKey::Cookie { name: name.to_owned() })
        }
    }

    /// A parameter of the query: `3f9a` in `/cart?item=7&sid=3f9a`. Of several of that name, the first counts that is not empty.
    ///
    /// # Errors
    ///
    /// When no parameter can have that name as it stands in a URL.
    pub fn query_parameter(name: &str) -> Result<Self, InvalidSessionKey> {
        Ok(Rule::Query(parameter(name, "&=#")?).into())
    }

    /// A parameter in the path: `3f9a` in `/shop;sid=3f9a/cart`, as servers write it for clients without cookies. Of
    /// several of that name, the first counts that is not empty.
    ///
    /// # Errors
    ///
    /// When no parameter can have that name as it stands in a URL.
    pub fn path_parameter(name: &str) -> Result<Self, InvalidSessionKey> {
        Ok(Rule::PathParameter(parameter(name, ";=/?#")?).into())
    }

    /// The whole path, without the query.
    #[must_use]
    pub fn path() -> Self {
        Rule::Path.into()
    }

    /// One segment of the path, counted from 0: segment 1 of `/tenants/acme/users` is `acme`.
    #[must_use]
    pub fn path_segment(index: usize) -> Self {
        Rule::PathSegment(index).into()
    }

    /// The path's first so many segments, or as many as there are: the first 2 of `/tenants/acme/users` are
    /// `/tenants/acme`, which is also what they are of `/tenants/acme/`. Absent for `/`.
    ///
    /// # Errors
    ///
    /// When there are to be none.
    pub fn path_prefix(segments: usize) -> Result<Self, InvalidSessionKey> {
        if segments == 0 { Err(InvalidSessionKey::NoSegments) } else { Ok(Rule::PathPrefix(segments).into()) }
    }

    /// The host that was asked for: of the URI, else of the `Host` header, in lower case, without a port or a dot at the
    /// end.
    #[must_use]
    pub fn host() -> Self {
        Rule::Host.into()
    }

    /// Whatever the closure makes of a request. If it panics, there is no key.
    ///
    /// ```
    /// use equipoise_affinity::key::{Extracted, SessionKey};
    /// use equipoise_tower::RequestHead;
    ///
    /// #[derive(Clone)]
    /// struct User(String); // What a layer further out made of a token.
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

    /// This one, or the other where it is absent or too long.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let longest = self.longest.max(other.longest);
        Self { rule: self.rule.or(other.rule), longest }
    }

    /// This one and the other together. Absent where either is. What one ends with cannot be taken for what the other
    /// begins with: `ab` and `c` are another key than `a` and `bc`.
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
        let longest = self.longest.max(other.longest);
        Self { rule: self.rule.and(other.rule), longest }
    }

    /// The longest that the key, and each part of it, may be in bytes; [`LONGEST`](Self::LONGEST) by default. Of two that
    /// are put together the larger limit counts, unless it is set after that.
    ///
    /// # Errors
    ///
    /// When it is below 1 or above 65,535.
    pub fn longest(mut self, bytes: usize) -> Result<Self, InvalidSessionKey> {
        if !(1..=rule::MOST).contains(&bytes) {
            return Err(InvalidSessionKey::Longest { bytes, most: rule::MOST });
        }
        self.longest = bytes;
        Ok(self)
    }

    /// The key of a request. Linear in what it looks at (the query, the path, the cookies), and copies only the address of
    /// a source, several parts, and a host in upper case.
    #[must_use]
    pub fn of<'r>(&self, head: RequestHead<'r>) -> Extracted<'r> {
        self.rule.find(head, self.longest)
    }
}

impl From<Rule> for SessionKey {
    fn from(rule: Rule) -> Self {
        Self { rule, longest: Self::LONGEST }
    }
}

/// The name of a parameter, unless there is something in it that ends a name.
fn parameter(name: &str, ends: &str) -> Result<Box<str>, InvalidSessionKey> {
    if name.is_empty() || name.chars().any(|c| ends.contains(c) || c.is_whitespace() || c.is_control()) {
        return Err(InvalidSessionKey::Parameter { name: name.to_owned() });
    }
    Ok(name.into())
}
