//! HAProxy's cookie persistence: a cookie names the endpoint that a client returns to.
//!
//! It changes the headers of requests and responses as HAProxy's `cookie NAME insert | rewrite | prefix …` does, byte for
//! byte (compared with HAProxy 2.6). There is one difference: cookies begin and end as RFC 6265 says, as endpoints see
//! them, so [no byte of another cookie](PersistenceCookie::on_request) is changed. The caller determines which endpoint a
//! value names: by a map of plain names, by HAProxy's [dynamic](CookieValue::dynamic) names, or by signed tokens.
//!
//! ```
//! use equipoise_affinity::cookie::{CookieMatch, PersistenceCookie, ResponseContext};
//! use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
//! use std::time::SystemTime;
//!
//! let cookie = PersistenceCookie::insert("SRV").indirect().nocache().httponly().build()?;
//! let now = SystemTime::now();
//!
//! // The cookie names no endpoint, so the request goes to any endpoint, such as B …
//! let mut request = HeaderMap::new();
//! request.insert(header::COOKIE, HeaderValue::from_static("theme=dark; SRV=gone"));
//! let (endpoint, state) = cookie.on_request(&mut request, now, |value| match value {
//!     b"A" | b"B" => CookieMatch::Endpoint(value[0]),
//!     _ => CookieMatch::Unknown,
//! });
//! assert_eq!(endpoint, None);
//! assert_eq!(request[header::COOKIE], "theme=dark");
//!
//! // … and the response sets the cookie.
//! let value = cookie.value("B")?;
//! let mut response = HeaderMap::new();
//! let context = ResponseContext { state, kept: false, value: Some(&value), method: &Method::GET, now };
//! cookie.on_response(context, StatusCode::OK, &mut response);
//! assert_eq!(response[header::SET_COOKIE], "SRV=B; path=/; HttpOnly");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Cookie` and `Set-Cookie` (RFC 6265) are supported. `Set-Cookie2`, which RFC 6265 made obsolete, is not.

mod check;
mod lines;
mod request;
mod response;
mod settings;
#[cfg(test)]
mod tests;
mod value;

pub use self::{
    check::InvalidCookie,
    request::{CookieMatch, CookieOutcome, CookieState},
    response::{CookieAction, ResponseContext},
    settings::{PersistenceCookie, PersistenceCookieBuilder},
    value::{CookieMode, CookieValue, InvalidCookieValue},
};
