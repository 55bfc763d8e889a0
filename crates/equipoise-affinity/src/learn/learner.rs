use std::{num::NonZeroUsize, time::SystemTime};

use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderName};

use super::cookie::{CookieChange, cookie_change};
use crate::read::{self, is_token};

const LIMIT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Says where backends and clients put a session key, and reads the key from responses and requests. The places can be
/// cookies, headers and URL parameters.
///
/// Any number of places can be added, such as a cookie and a header. They are tried in the order in which they were
/// added, and the first place that contains a key is used. An empty text is not a key. Cookies and headers are read in
/// requests and responses, URL parameters only in requests. If no place is added, no request has a key.
///
/// nginx tries its list of variables in order too. Apache tries the URL before the cookie.
///
/// ```
/// use equipoise_affinity::learn::{InvalidName, Learn};
///
/// let php = Learn::new().cookie("PHPSESSID")?.query_parameter("PHPSESSID")?;
/// let api = Learn::new().header("mcp-session-id")?;
/// assert!(Learn::new().cookie("a=b").is_err());
/// # let _ = (php, api);
/// # Ok::<(), InvalidName>(())
/// ```
#[derive(Clone, Debug)]
pub struct Learn {
    places: Vec<Place>,
    limit: NonZeroUsize,
    adopts: bool,
}

impl Learn {
    /// Creates a `Learn` that reads no keys yet. Add the places of the session key with [`cookie`](Self::cookie),
    /// [`header`](Self::header), [`path_parameter`](Self::path_parameter) or
    /// [`query_parameter`](Self::query_parameter). Keys may have at most 4096 bytes, see
    /// [`max_key_len`](Self::max_key_len).
    pub fn new() -> Self {
        Self { places: Vec::new(), limit: LIMIT, adopts: false }
    }

    /// Adds the cookie `name` as a place for the session key. Responses set it with `Set-Cookie`, and requests have it
    /// in `Cookie`. The name is case-sensitive.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Cookie`] if the name is not a token (RFC 6265 §4.1.1).
    pub fn cookie(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        if !is_token(&name) {
            return Err(InvalidName::Cookie { name });
        }
        Ok(self.or(Place::Cookie(name)))
    }

    /// Adds the header `name` as a place for the session key, in responses and requests. If there are several header
    /// lines of this name, the last one that is not empty is used.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Header`] if the name is not a token (RFC 9110 §5.1).
    pub fn header(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(self.or(Place::Header(name))),
            Err(_) => Err(InvalidName::Header { name }),
        }
    }

    /// Adds the path parameter `name` as a place for the session key, as in `/cart;jsessionid=6A3F` (RFC 3986 §3.3).
    /// The name is case-sensitive. The value ends at the next `;` or `/`.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Parameter`] if no parameter of a URL can have this name.
    pub fn path_parameter(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        Ok(self.or(Place::PathParameter(parameter_name(name.into())?)))
    }

    /// Adds the query parameter `name` as a place for the session key, as in `/cart?PHPSESSID=6a3f`. The name is
    /// case-sensitive. The value ends at the next `&`.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Parameter`] if no parameter of a URL can have this name.
    pub fn query_parameter(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        Ok(self.or(Place::QueryParameter(parameter_name(name.into())?)))
    }

    /// Sets the maximum length of a session key, in bytes. A longer key is not used: [`request_key`](Self::request_key)
    /// and [`response`](Self::response) return [`KeyTooLong`]. Clients and backends therefore cannot fill a session
    /// store with long keys. Default: 4096. Range: 1 to `usize::MAX`.
    #[must_use]
    pub fn max_key_len(mut self, bytes: NonZeroUsize) -> Self {
        self.limit = bytes;
        self
    }

    fn or(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Also accepts session keys from clients if no backend has set them. The session with such a key is bound to the
    /// endpoint that answers the first request with this key. HAProxy calls this `request-learn`. Default: off. The
    /// setting has an effect in [`Mode::learn`](crate::Mode::learn), and no effect in
    /// [`Mode::route`](crate::Mode::route).
    ///
    /// Use this setting if backends set a key only once and keep the session for longer than the session store keeps
    /// it. PHP does this. With this setting, clients can fill the session store with keys that they invent, unless
    /// [`Affinity::session_limit`](crate::Affinity::session_limit) limits how many sessions one source may start.
    #[must_use]
    pub fn adopt(mut self) -> Self {
        self.adopts = true;
        self
    }

    pub(crate) fn adopts(&self) -> bool {
        self.adopts
    }

    /// Returns the session key of a request, or `None` if the request has no key. Takes O(n) time for the n bytes of
    /// the request that are read. Does not allocate memory.
    ///
    /// # Errors
    ///
    /// [`KeyTooLong`] if the key is longer than [`max_key_len`](Self::max_key_len). The session of the request is then
    /// not bound to an endpoint, so the request may be sent to any endpoint.
    pub fn request_key<'r>(&self, request: RequestHead<'r>) -> Result<Option<&'r [u8]>, KeyTooLong> {
        self.places.iter().find_map(|place| place.of_request(request)).map(|key| self.limited(key)).transpose()
    }

    /// Returns whether a response sets a session key, ends the session, or does neither. `headers` are the headers of
    /// the response. `now` is the current time, to which the cookie's `Expires` is compared.
    ///
    /// If several `Set-Cookie` lines set the cookie, the last line is used, as in clients (RFC 6265 §5.3). nginx uses
    /// the first line.
    ///
    /// A `Set-Cookie` line deletes the cookie in these cases:
    ///
    /// - The value of the cookie is empty.
    /// - `Max-Age` is 0 or less.
    /// - There is no valid `Max-Age`, and `Expires` is not later than `now`.
    ///
    /// A line that deletes the cookie cancels only earlier lines with the same `Domain` and `Path`. An application may
    /// set a cookie at one path and delete it at another path in the same response.
    ///
    /// # Errors
    ///
    /// [`KeyTooLong`] if the key is longer than [`max_key_len`](Self::max_key_len). The key must not be stored.
    pub fn response<'r>(&self, headers: &'r HeaderMap, now: SystemTime) -> Result<Learned<'r>, KeyTooLong> {
        let mut ended = false;
        for place in &self.places {
            let change = match place {
                Place::Cookie(name) => cookie_change(headers, name, now),
                Place::Header(name) => read::header(headers, name).map_or(CookieChange::Unchanged, CookieChange::Set),
                Place::PathParameter(_) | Place::QueryParameter(_) => CookieChange::Unchanged,
            };
            match change {
                CookieChange::Set(key) => return self.limited(key).map(Learned::Key),
                CookieChange::Deleted => ended = true,
                CookieChange::Unchanged => {}
            }
        }
        Ok(if ended { Learned::Ended } else { Learned::Nothing })
    }

    fn limited<'r>(&self, key: &'r [u8]) -> Result<&'r [u8], KeyTooLong> {
        let (len, limit) = (key.len(), self.limit.get());
        if len > limit { Err(KeyTooLong { len, limit }) } else { Ok(key) }
    }
}

impl Default for Learn {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    fn of_request<'r>(&self, request: RequestHead<'r>) -> Option<&'r [u8]> {
        match self {
            Self::Cookie(name) => read::cookie(request.headers, name),
            Self::Header(name) => read::header(request.headers, name),
            Self::PathParameter(name) => read::path_parameter(request.uri.path(), name),
            Self::QueryParameter(name) => read::query_parameter(request.uri.query()?, name),
        }
    }
}

/// Whether a response sets a session key, ends the session, or does neither. Returned by [`Learn::response`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Learned<'r> {
    /// The response sets this session key. Requests with this key should go to the endpoint that sent the response.
    Key(&'r [u8]),
    /// The response deletes the session's cookie, so the session of the request has ended. The cookie's value in the
    /// response does not identify this session: it may be empty, or a text such as `deleted`.
    Ended,
    /// The response neither sets nor deletes a session key.
    Nothing,
}

impl Learned<'_> {
    /// Returns the variant's name as a label for metrics: `key`, `ended` or `nothing`. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Ended => "ended",
            Self::Nothing => "nothing",
        }
    }
}

/// A session key is longer than [`Learn::max_key_len`] allows, so it is not used. [`Learn::request_key`] and
/// [`Learn::response`] return this error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session key has {len} bytes, but at most {limit} are allowed")]
pub struct KeyTooLong {
    /// The length of the session key, in bytes.
    pub len: usize,
    /// The maximum length of a session key, in bytes.
    pub limit: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Cookie(String),
    Header(HeaderName),
    PathParameter(String),
    QueryParameter(String),
}

/// Why the name of a cookie, header or parameter cannot be added to [`Learn`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The name that was passed to [`Learn::cookie`] is not a valid name of a cookie.
    #[error("{name:?} is not a cookie name: use at least one of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    Cookie {
        /// The name of the cookie that was refused.
        name: String,
    },
    /// The name that was passed to [`Learn::header`] is not a valid name of a header.
    #[error("{name:?} is not a header name: use at least one of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    Header {
        /// The name of the header that was refused.
        name: String,
    },
    /// The name that was passed to [`Learn::path_parameter`] or [`Learn::query_parameter`] is not a valid name of a URL
    /// parameter.
    #[error(
        "{name:?} is not the name of a URL parameter: use at least one visible ASCII character other than / ? # ; & ="
    )]
    Parameter {
        /// The name of the parameter that was refused.
        name: String,
    },
}

fn parameter_name(name: String) -> Result<String, InvalidName> {
    let one = |byte: u8| byte.is_ascii_graphic() && !b"/?#;&=".contains(&byte);
    if !name.is_empty() && name.bytes().all(one) { Ok(name) } else { Err(InvalidName::Parameter { name }) }
}
