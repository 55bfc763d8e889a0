//! HAProxy's cookie persistence: a cookie names the endpoint that a client returns to.
//!
//! It changes the headers of requests and responses as HAProxy's `cookie NAME insert | rewrite | prefix …` does, byte for
//! byte (compared with HAProxy 2.6). There is one difference: cookies begin and end as RFC 6265 says, as endpoints see
//! them, so [no byte of another cookie](PersistenceCookie::on_request) is changed. The caller determines which endpoint a
//! value names: by a map of plain names, by HAProxy's [dynamic](CookieValue::dynamic) names, or by signed tokens.
//!
//! ```
//! use equipoise_affinity::cookie::{Claim, PersistenceCookie, Served};
//! use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
//! use std::time::SystemTime;
//!
//! let cookie = PersistenceCookie::insert("SRV").indirect().nocache().httponly().build()?;
//! let now = SystemTime::now();
//!
//! // The cookie names no endpoint, so the request goes to any endpoint, such as B …
//! let mut request = HeaderMap::new();
//! request.insert(header::COOKIE, HeaderValue::from_static("theme=dark; SRV=gone"));
//! let (endpoint, presented) = cookie.on_request(&mut request, now, |value| match value {
//!     b"A" | b"B" => Claim::Endpoint(value[0]),
//!     _ => Claim::Unknown,
//! });
//! assert_eq!(endpoint, None);
//! assert_eq!(request[header::COOKIE], "theme=dark");
//!
//! // … and the response sets the cookie.
//! let value = cookie.value("B")?;
//! let mut response = HeaderMap::new();
//! let served = Served { presented, kept: false, value: Some(&value), method: &Method::GET, now };
//! cookie.on_response(served, StatusCode::OK, &mut response);
//! assert_eq!(response[header::SET_COOKIE], "SRV=B; path=/; HttpOnly");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Cookie` and `Set-Cookie` (RFC 6265) are supported. `Set-Cookie2`, which RFC 6265 made obsolete, is not.

mod date;
mod lines;
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

/// Separates the balancer's value from the endpoint's in prefix mode.
const PREFIX: u8 = b'~';

/// Maximum length of a cookie's name and value together that browsers store (RFC 6265, 6.1).
const MAX_LEN: usize = 4096;

/// The settings of a persistence cookie: HAProxy's `cookie` line.
///
/// [`on_request`](Self::on_request) reads the cookie and [`on_response`](Self::on_response) sets it. It has no state
/// and reads no clock, so it can be shared freely.
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
    /// The text after the value in a `Set-Cookie` line.
    tail: String,
    max_cookies: usize,
    max_bytes: usize,
}

impl PersistenceCookie {
    /// A cookie that the balancer sets. The usual choice, together with
    /// [`indirect`](PersistenceCookieBuilder::indirect) and [`nocache`](PersistenceCookieBuilder::nocache).
    pub fn insert(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Insert)
    }

    /// A cookie that endpoints set, whose value the balancer replaces. The endpoints decide which clients get one, and
    /// see the balancer's value in requests.
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

    /// A cookie that endpoints set and need, such as `JSESSIONID`. The balancer puts its own value in front of the
    /// endpoint's. For clients that store only one cookie.
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

    /// Returns the cookie's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how the cookie is set.
    pub fn mode(&self) -> CookieMode {
        self.mode
    }

    /// Checks that `text` can name an endpoint in this cookie.
    ///
    /// # Errors
    ///
    /// [`InvalidCookieValue`] if the text is empty, is too long for browsers, or contains a byte that is not an RFC
    /// 6265 `cookie-octet`. `|`, which precedes dates, is not allowed in insert and rewrite mode. `~`, which precedes
    /// the endpoint's value, is not allowed in prefix mode.
    pub fn value(&self, text: impl AsRef<[u8]>) -> Result<CookieValue, InvalidCookieValue> {
        let reserved = if self.mode == CookieMode::Prefix { PREFIX } else { date::DATE };
        // Two dates take twelve bytes.
        let max = MAX_LEN.saturating_sub(self.name.len() + 12);
        CookieValue::checked(text.as_ref(), reserved, max)
    }
}
