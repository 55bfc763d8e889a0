//! Sessions that the backends make: which key a response sets, which key a request brings, which route a key names.
//!
//! This is nginx's `sticky learn` (`create=$upstream_cookie_x lookup=$cookie_x`) and `sticky route`, HAProxy's
//! `stick store-response res.cook(x)` with `stick match req.cook(x)`, which took the place of `appsession`, and the
//! `stickysession=JSESSIONID|jsessionid` of Apache's mod_proxy_balancer. Everything here is a pure function of a head;
//! keys are remembered in a [`SessionStore`](crate::SessionStore).
//!
//! - [`Learn`] reads keys. Values are taken as they are: not percent-decoded (as in all three peers), but without the
//!   double quotes around them.
//! - [`Route`] reads the name of the endpoint off a key such as Tomcat's `6A3F…E1.node1` (its `jvmRoute`).
//!
//! ```
//! use std::time::SystemTime;
//!
//! use equipoise_affinity::learn::{Learn, Learned, Route};
//! use equipoise_tower::{RequestHead, ResponseHead};
//!
//! let learn = Learn::new().cookie("JSESSIONID")?.path_parameter("jsessionid")?;
//!
//! // The backend makes a session …
//! let response = http::Response::builder().header("set-cookie", "JSESSIONID=6A3F.node1; Path=/; HttpOnly").body(())?;
//! let learned = learn.response(ResponseHead::of(&response).headers, SystemTime::now())?;
//! assert_eq!(learned, Learned::Key(b"6A3F.node1"));
//!
//! // … and the client comes back with it, in a cookie or in a link.
//! let request = http::Request::get("/cart;jsessionid=6A3F.node1?page=2").body(())?;
//! let key = learn.request_key(RequestHead::of(&request))?.expect("it brings one");
//! assert_eq!(Route::default().of(key), Some("node1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cookie;
mod date;
mod learner;
mod place;
mod route;
#[cfg(test)]
mod tests;

pub use self::{
    learner::{KeyTooLong, Learn, Learned},
    place::InvalidName,
    route::Route,
};
