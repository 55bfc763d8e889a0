//! Cookie persistence as in HAProxy: a cookie of the client names the endpoint that gets the client's requests.
//!
//! [`PersistenceCookie`] reads and changes the `Cookie` lines of requests and the `Set-Cookie` lines of responses. Its
//! modes are those of HAProxy's `cookie NAME insert | rewrite | prefix …`. It writes the same bytes as HAProxy 2.6,
//! with few differences, which [`on_request`](PersistenceCookie::on_request) and
//! [`on_response`](PersistenceCookie::on_response) list. The main difference: in equipoise, only `;` ends a cookie, as
//! in RFC 6265. Endpoints read cookies in the same way, so no byte of another cookie is changed.
//!
//! The caller determines which endpoint a cookie's value names. The values can be plain names, HAProxy's
//! [dynamic](CookieValue::dynamic) values, or signed [tokens](crate::token).
//!
//! ```
//! use equipoise_affinity::cookie::{CookieMatch, PersistenceCookie, ResponseContext};
//! use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
//! use std::time::SystemTime;
//!
//! let cookie = PersistenceCookie::insert("SRV").indirect().nocache().httponly().build()?;
//! let now = SystemTime::now();
//!
//! // The cookie names no known endpoint. The request can go to any endpoint, in this example to B.
//! let mut request = HeaderMap::new();
//! request.insert(header::COOKIE, HeaderValue::from_static("theme=dark; SRV=gone"));
//! let (endpoint, state) = cookie.on_request(&mut request, now, |value| match value {
//!     b"A" | b"B" => CookieMatch::Endpoint(value[0]),
//!     _ => CookieMatch::Unknown,
//! });
//! assert_eq!(endpoint, None);
//! assert_eq!(request[header::COOKIE], "theme=dark");
//!
//! // The response then sets the cookie.
//! let value = cookie.value("B")?;
//! let mut response = HeaderMap::new();
//! let context = ResponseContext::new(state, Some(&value), &Method::GET, now);
//! cookie.on_response(context, StatusCode::OK, &mut response);
//! assert_eq!(response[header::SET_COOKIE], "SRV=B; path=/; HttpOnly");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `Cookie` and `Set-Cookie` (RFC 6265) are supported. The obsolete `Set-Cookie2` is not supported.

mod builder;
mod check;
mod lines;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod value;

pub use self::{
    builder::PersistenceCookieBuilder,
    check::InvalidCookie,
    request::{CookieMatch, CookieOutcome, CookieState},
    response::{CookieAction, ResponseContext},
    value::{CookieMode, CookieValue, InvalidCookieValue, PersistenceCookie},
};
