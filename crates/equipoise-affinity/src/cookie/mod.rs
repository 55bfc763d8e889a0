//! HAProxy's cookie persistence: a cookie names the endpoint that a client comes back to.
//!
//! What `cookie NAME insert | rewrite | prefix …` does in HAProxy, this does to a request's and an answer's headers, byte
//! for byte (compared with HAProxy 2.6), but for one thing: where a cookie begins and ends is RFC 6265's rule, as for the
//! endpoints, so that [no byte of another cookie](PersistenceCookie::on_request) is ever touched. Whom a value names is the caller's business: a map of plain names, HAProxy's
//! [dynamic](CookieValue::dynamic) ones, or signed tokens.
//!
//! ```
//! use equipoise_affinity::cookie::{Claim, PersistenceCookie, Served};
//! use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
//! use std::time::SystemTime;
//!
//! let cookie = PersistenceCookie::insert("SRV").indirect().nocache().httponly().build()?;
//! let now = SystemTime::now();
//!
//! // A client with a cookie that names nobody is sent to whoever is next, say to B …
//! let mut request = HeaderMap::new();
//! request.insert(header::COOKIE, HeaderValue::from_static("theme=dark; SRV=gone"));
//! let (endpoint, presented) = cookie.on_request(&mut request, now, |value| match value {
//!     b"A" | b"B" => Claim::Endpoint(value[0]),
//!     _ => Claim::Unknown,
//! });
//! assert_eq!(endpoint, None);
//! assert_eq!(request[header::COOKIE], "theme=dark");
//!
//! // … and is told.
//! let value = cookie.value("B")?;
//! let mut response = HeaderMap::new();
//! let served = Served { presented, kept: false, value: Some(&value), method: &Method::GET, now };
//! cookie.on_response(served, StatusCode::OK, &mut response);
//! assert_eq!(response[header::SET_COOKIE], "SRV=B; path=/; HttpOnly");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It knows `Cookie` and `Set-Cookie` (RFC 6265), not `Set-Cookie2`, which RFC 6265 took back.

mod cacheable;
mod date;
mod headers;
mod line;
mod pairs;
mod request;
mod response;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use self::{
    request::{Claim, CookieOutcome, Presented},
    response::{CookieAction, Served},
    settings::{CookieMode, InvalidCookie, PersistenceCookieBuilder},
    value::{CookieValue, InvalidCookieValue},
};

/// Parts the balancer's value from the endpoint's in prefix mode.
const PREFIX: u8 = b'~';

/// What browsers keep of a cookie's name and value together (RFC 6265, 6.1).
const LONGEST: usize = 4096;

/// A cookie by which clients come back to their endpoint: HAProxy's `cookie` line.
///
/// [`on_request`](Self::on_request) reads it and [`on_response`](Self::on_response) sets it. It holds no state and reads no
/// clock; share it as you like.
#[derive(Clone, Debug)]
pub struct PersistenceCookie {
    name: String,
    mode: CookieMode,
    indirect: bool,
    nocache: bool,
    preserve: bool,
    postonly: bool,
    max_idle: Option<u64>,
    max_life: Option<u64>,
    /// What follows the value in a `Set-Cookie` line.
    tail: String,
    most_cookies: usize,
    most_bytes: usize,
}

impl PersistenceCookie {
    /// A cookie that the balancer sets itself. What most want is this with
    /// [`indirect`](PersistenceCookieBuilder::indirect) and [`nocache`](PersistenceCookieBuilder::nocache).
    pub fn insert(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Insert)
    }

    /// A cookie that endpoints set, whose value the balancer replaces. They decide who is bound, and see the balancer's
    /// value in what comes back.
    ///
    /// ```
    /// use equipoise_affinity::cookie::{PersistenceCookie, Presented, Served};
    /// use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
    ///
    /// let cookie = PersistenceCookie::rewrite("SRV").build()?;
    /// let value = cookie.value("A")?;
    /// let served = Served {
    ///     presented: Presented::default(),
    ///     kept: false,
    ///     value: Some(&value),
    ///     method: &Method::GET,
    ///     now: std::time::SystemTime::now(),
    /// };
    /// let mut response = HeaderMap::new();
    /// response.insert(header::SET_COOKIE, HeaderValue::from_static("SRV=any; Path=/app"));
    /// cookie.on_response(served, StatusCode::OK, &mut response);
    /// assert_eq!(response[header::SET_COOKIE], "SRV=A; Path=/app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rewrite(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Rewrite)
    }

    /// A cookie that endpoints set and need, such as `JSESSIONID`, in front of whose value the balancer puts its own. For
    /// clients that keep only one cookie.
    ///
    /// ```
    /// use equipoise_affinity::cookie::{Claim, PersistenceCookie};
    /// use http::{HeaderMap, HeaderValue, header};
    ///
    /// let cookie = PersistenceCookie::prefix("JSESSIONID").build()?;
    /// let mut request = HeaderMap::new();
    /// request.insert(header::COOKIE, HeaderValue::from_static("JSESSIONID=A~abc123"));
    /// let whose = |value: &[u8]| if value == b"A" { Claim::Endpoint("A") } else { Claim::Unknown };
    /// let (endpoint, _) = cookie.on_request(&mut request, std::time::SystemTime::now(), whose);
    /// assert_eq!(endpoint, Some("A"));
    /// assert_eq!(request[header::COOKIE], "JSESSIONID=abc123");
    /// # Ok::<(), equipoise_affinity::cookie::InvalidCookie>(())
    /// ```
    pub fn prefix(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Prefix)
    }

    /// The cookie's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is done with it.
    pub fn mode(&self) -> CookieMode {
        self.mode
    }

    /// Checks that `text` can name an endpoint in this cookie.
    ///
    /// # Errors
    ///
    /// When it is empty, too long for browsers, or holds what is no RFC 6265 `cookie-octet`; or `|`, where dates begin in
    /// insert and rewrite mode, or `~`, where the endpoint's value begins in prefix mode.
    pub fn value(&self, text: impl AsRef<[u8]>) -> Result<CookieValue, InvalidCookieValue> {
        let reserved = if self.mode == CookieMode::Prefix { PREFIX } else { date::DATE };
        // Two dates take twelve bytes.
        let longest = LONGEST.saturating_sub(self.name.len() + 12);
        CookieValue::checked(text.as_ref(), reserved, longest)
    }
}
