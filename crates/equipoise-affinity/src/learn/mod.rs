//! Sessions that backends create: [`Learn`] reads the session keys that responses set and that requests have, and
//! [`Route`] reads the name of an endpoint from such a key.
//!
//! Other balancers have the same feature:
//!
//! - nginx: `sticky learn` (`create=$upstream_cookie_x lookup=$cookie_x`) and `sticky route`.
//! - HAProxy: `stick store-response res.cook(x)` with `stick match req.cook(x)`, formerly `appsession`.
//! - Apache's mod_proxy_balancer: `stickysession=JSESSIONID|jsessionid`.
//!
//! The types here only read the heads of requests and responses. A [`SessionStore`](crate::SessionStore) stores the
//! keys. A key has the bytes that the cookie, header or URL has. Only the double quotes around a cookie's value are
//! removed. Keys are not percent-decoded; nginx, HAProxy and Apache do not decode them either.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use equipoise_affinity::learn::{Learn, Learned, Route};
//! use equipoise_tower::{RequestHead, ResponseHead};
//!
//! let learn = Learn::new().cookie("JSESSIONID")?.path_parameter("jsessionid")?;
//!
//! // The backend creates a session: its response sets a key.
//! let response = http::Response::builder().header("set-cookie", "JSESSIONID=6A3F.node1; Path=/; HttpOnly").body(())?;
//! let learned = learn.response(ResponseHead::of(&response).headers, SystemTime::now())?;
//! assert_eq!(learned, Learned::Key(b"6A3F.node1"));
//!
//! // The client then sends the key, in a cookie or in a URL.
//! let request = http::Request::get("/cart;jsessionid=6A3F.node1?page=2").body(())?;
//! let key = learn.request_key(RequestHead::of(&request))?.expect("it brings one");
//! assert_eq!(Route::default().of(key), Some("node1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cookie;
mod date;
mod learner;
mod route;
#[cfg(test)]
mod tests;

pub use self::{
    learner::{InvalidName, KeyTooLong, Learn, Learned},
    route::Route,
};
