//! Sessions that backends create: the key that a response sets, the key that a request has, and the route in a key.
//!
//! This is nginx's `sticky learn` (`create=$upstream_cookie_x lookup=$cookie_x`) and `sticky route`, HAProxy's
//! `stick store-response res.cook(x)` with `stick match req.cook(x)`, the successor of `appsession`, and the
//! `stickysession=JSESSIONID|jsessionid` of Apache's mod_proxy_balancer. The functions here only
//! read heads. A [`SessionStore`](crate::SessionStore) stores the keys.
//!
//! - [`Learn`] reads keys. Values are taken as they are: not percent-decoded (as in all three peers), but without the
//!   double quotes around them.
//! - [`Route`] reads the endpoint's name from a key such as Tomcat's `6A3F…E1.node1` (its `jvmRoute`).
//!
//! ```
//! use std::time::SystemTime;
//!
//! use equipoise_affinity::learn::{Learn, Learned, Route};
//! use equipoise_tower::{RequestHead, ResponseHead};
//!
//! let learn = Learn::new().cookie("JSESSIONID")?.path_parameter("jsessionid")?;
//!
//! // The backend creates a session …
//! let response = http::Response::builder().header("set-cookie", "JSESSIONID=6A3F.node1; Path=/; HttpOnly").body(())?;
//! let learned = learn.response(ResponseHead::of(&response).headers, SystemTime::now())?;
//! assert_eq!(learned, Learned::Key(b"6A3F.node1"));
//!
//! // … and the client sends its key, in a cookie or in a link.
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
