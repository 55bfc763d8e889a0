use std::{num::NonZeroUsize, time::SystemTime};

use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderName};

use super::{
    cookie::{Told, told},
    place::{InvalidName, Place, parameter_name},
};
use crate::read::{self, is_token};

const LIMIT: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Where the key of a backend's session is.
///
/// Places are tried in the order in which they are named; the first that is there and not empty counts, as with nginx's
/// lists of variables. (Apache looks at the URL before the cookie.) Cookies and headers are where responses set keys and
/// requests bring them; parameters are in requests only. Without any place there is no key.
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
    /// No place yet; keys of up to 4096 bytes.
    pub fn new() -> Self {
        Self { places: Vec::new(), limit: LIMIT, adopts: false }
    }

    /// The cookie `name` (case matters), set by `Set-Cookie`, brought by `Cookie`.
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

    /// The header `name`, of responses and requests; of several lines the last that is not empty.
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

    /// The parameter `name` (case matters) of a path segment, as in `/cart;jsessionid=6A3F` (RFC 3986 §3.3). It ends at
    /// the next `;` or `/`.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Parameter`].
    pub fn path_parameter(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        Ok(self.or(Place::PathParameter(parameter_name(name.into())?)))
    }

    /// The parameter `name` (case matters) of the query, as in `/cart?PHPSESSID=6a3f`. It ends at the next `&`.
    ///
    /// # Errors
    ///
    /// [`InvalidName::Parameter`].
    pub fn query_parameter(self, name: impl Into<String>) -> Result<Self, InvalidName> {
        Ok(self.or(Place::QueryParameter(parameter_name(name.into())?)))
    }

    /// The longest key, in bytes. Longer ones are none, so that no client fills a session table with them. Default: 4096.
    #[must_use]
    pub fn limit(mut self, bytes: NonZeroUsize) -> Self {
        self.limit = bytes;
        self
    }

    fn or(mut self, place: Place) -> Self {
        self.places.push(place);
        self
    }

    /// A key that a request brings and nobody knows belongs to whoever answers, although no backend has set it: HAProxy's
    /// `request-learn`. For backends that say a session's key once and keep the session for longer than the store does,
    /// as PHP's do. The price: clients can fill the store, within its bound;
    /// see [`Affinity::session_limit`](crate::Affinity::session_limit).
    #[must_use]
    pub fn adopt(mut self) -> Self {
        self.adopts = true;
        self
    }

    pub(crate) fn adopts(&self) -> bool {
        self.adopts
    }

    /// The key that a request brings. Borrows; O(length of the head's part that is looked at).
    ///
    /// # Errors
    ///
    /// [`KeyTooLong`]: the request is unbound.
    pub fn request_key<'r>(&self, request: RequestHead<'r>) -> Result<Option<&'r [u8]>, KeyTooLong> {
        self.places.iter().find_map(|place| place.of_request(request)).map(|key| self.limited(key)).transpose()
    }

    /// What a response says about the session. `now` is what the cookie's `Expires` is compared with.
    ///
    /// Of several `Set-Cookie` lines for the cookie the last counts, as in the client (RFC 6265 §5.3), whose next request
    /// it decides; nginx takes the first. One that takes
    /// the cookie back (no value, `Max-Age` of 0 or less, or else `Expires` in the past) counts only against an earlier
    /// one of the same `Domain` and `Path`, or if no other sets it: applications that move a cookie to another path take
    /// it back at the old one.
    ///
    /// # Errors
    ///
    /// [`KeyTooLong`]: nothing is learned.
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

/// What [`Learn::response`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned<'r> {
    /// The response sets this key: whoever brings it belongs to the endpoint that answered.
    Key(&'r [u8]),
    /// The response takes the cookie back: the session that the *request* named is over. (What such a cookie's value is,
    /// the response does not say: some write nothing there, some `deleted`.)
    Ended,
    /// Neither.
    Nothing,
}

/// A key is longer than [`Learn::limit`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session key of {len} bytes, where {limit} are allowed")]
pub struct KeyTooLong {
    /// Its length in bytes.
    pub len: usize,
    /// The limit in bytes.
    pub limit: usize,
}
