use std::{num::NonZeroUsize, time::SystemTime};

use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderName};

use super::cookie::{Told, told};
use crate::read::{self, is_token};

const LIMIT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Where the session key of a backend is.
///
/// Places are tried in the order in which they were added. The first that is present and not empty counts, as in
/// nginx's lists of variables (Apache looks at the URL before the cookie). Cookies and headers are read in requests and
/// responses, parameters in requests only. Without a place there is no key.
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
    /// Creates a value without places, for keys of up to 4096 bytes.
    pub fn new() -> Self {
        Self { places: Vec::new(), limit: LIMIT, adopts: false }
    }

    /// Adds the cookie `name`: set by `Set-Cookie`, sent by `Cookie`. Case matters.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Cookie`] unless the name is a token (RFC 6265 §4.1.1).
    pub fn cookie(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        if !is_token(&name) {
            return Err(InvalidName::Cookie { name });
        }
        Ok(self.or(Place::Cookie(name)))
    }

    /// Adds the header `name`, of responses and requests. If there are several lines, the last that is not empty is
    /// used.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Header`] unless the name is a token (RFC 9110 §5.1).
    pub fn header(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        let name = name.into();
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(self.or(Place::Header(name))),
            Err(_) => Err(InvalidName::Header { name }),
        }
    }

    /// Adds the parameter `name` of a path segment, as in `/cart;jsessionid=6A3F` (RFC 3986 §3.3). Case matters. The
    /// value ends at the next `;` or `/`.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Parameter`] if no parameter of a URL can have this name.
    pub fn path_parameter(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        Ok(self.or(Place::PathParameter(parameter_name(name.into())?)))
    }

    /// Adds the parameter `name` of the query, as in `/cart?PHPSESSID=6a3f`. Case matters. The value ends at the next
    /// `&`.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Parameter`] if no parameter of a URL can have this name.
    pub fn query_parameter(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        Ok(self.or(Place::QueryParameter(parameter_name(name.into())?)))
    }

    /// Sets the maximum length of a key, in bytes. Default: 4096. Longer keys are ignored, so that no client fills a
    /// session store with them.
    #[must_use]
    pub fn max_key_len(mut self, bytes: NonZeroUsize) -> Self {
        self.limit = bytes;
        self
    }

    fn or(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// Binds an unknown key in a request to the endpoint that answers, although no backend has set it: HAProxy's
    /// `request-learn`. Default: off.
    ///
    /// This is for backends that set a key once and keep the session for longer than the store does, as PHP's do. With
    /// it, clients can fill the store, within its limit: see
    /// [`Affinity::session_limit`](crate::Affinity::session_limit).
    #[must_use]
    pub fn adopt(mut self) -> Self {
        self.adopts = true;
        self
    }

    pub(crate) fn adopts(&self) -> bool {
        self.adopts
    }

    /// Returns the key of a request, if it has one. O(length of the parts it reads). Does not allocate.
    ///
    /// # Errors
    ///
    /// [`KeyTooLong`] if the key is longer than allowed. The request then has no binding.
    pub fn request_key<'r>(&self, request: RequestHead<'r>) -> Result<Option<&'r [u8]>, KeyTooLong> {
        self.places.iter().find_map(|place| place.of_request(request)).map(|key| self.limited(key)).transpose()
    }

    /// Returns what a response says about the session. `now` is compared with the cookie's `Expires`.
    ///
    /// If several `Set-Cookie` lines set the cookie, the last one is used, as in clients (RFC 6265 §5.3); in nginx it is
    /// the first. A line that deletes the cookie (an empty value, `Max-Age` of 0 or less, or else `Expires` in the
    /// past) overrides only an earlier line with the same `Domain` and `Path`. Applications that move a cookie to
    /// another path delete it at the old one.
    ///
    /// # Errors
    ///
    /// [`KeyTooLong`] if the key is longer than allowed. Nothing is learned then.
    pub fn response<'r>(&self, headers: &'r HeaderMap, now: SystemTime) -> Result<Learned<'r>, KeyTooLong> {
        let mut ended = false;
        for place in &self.places {
            let told = match place {
                Place::Cookie(name) => told(headers, name, now),
                Place::Header(name) => read::header(headers, name).map_or(Told::Nothing, Told::Value),
                Place::PathParameter(_) | Place::QueryParameter(_) => Told::Nothing,
            };
            match told {
                Told::Value(key) => return self.limited(key).map(Learned::Key),
                Told::Deleted => ended = true,
                Told::Nothing => {}
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

/// What a response says about the session: the result of [`Learn::response`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned<'r> {
    /// The response sets this key. Requests with it belong to the endpoint that answered.
    Key(&'r [u8]),
    /// The response deletes the cookie, so the session of the *request* has ended. (The value in the response does not
    /// show which session that is: it may be empty, or `deleted`.)
    Ended,
    /// The response neither sets nor deletes the key.
    Nothing,
}

impl Learned<'_> {
    /// Returns the kind of result as a label for metrics: `key`, `ended` or `nothing`. Labels are stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Ended => "ended",
            Self::Nothing => "nothing",
        }
    }
}

/// A key is longer than [`Learn::max_key_len`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session key of {len} bytes, where {limit} are allowed")]
pub struct KeyTooLong {
    /// The key's length, in bytes.
    pub len: usize,
    /// The maximum length, in bytes.
    pub limit: usize,
}

#[derive(Clone, Debug)]
enum Place {
    Cookie(String),
    Header(HeaderName),
    PathParameter(String),
    QueryParameter(String),
}

/// Why a name of a place in [`Learn`] is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// No cookie can have this name.
    #[error("{name:?} is not a cookie name: use at least one of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    Cookie {
        /// The name.
        name: String,
    },
    /// No header can have this name.
    #[error("{name:?} is not a header name: use at least one of ASCII letters, digits and !#$%&'*+-.^_`|~")]
    Header {
        /// The name.
        name: String,
    },
    /// No parameter of a URL can have this name.
    #[error(
        "{name:?} is not the name of a URL parameter: use at least one visible ASCII character other than / ? # ; & ="
    )]
    Parameter {
        /// The name.
        name: String,
    },
}

fn parameter_name(name: String) -> Result<String, InvalidName> {
    let one = |byte: u8| byte.is_ascii_graphic() && !b"/?#;&=".contains(&byte);
    if !name.is_empty() && name.bytes().all(one) { Ok(name) } else { Err(InvalidName::Parameter { name }) }
}
