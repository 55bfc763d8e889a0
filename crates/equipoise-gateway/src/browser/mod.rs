//! Functions for browsers: CORS, protection against cross-site requests (CSRF), and request ids.
//!
//! | layer | what it does |
//! | --- | --- |
//! | [`CorsLayer`] | tells browsers which other sites may read responses |
//! | [`CsrfLayer`] | denies requests that other sites make browsers send |
//! | [`RequestIdLayer`] | gives each request an id |
//!
//! CORS and the check for cross-site requests are those of tower-http, with defaults that are safe and errors instead
//! of panics.

mod cors;
mod csrf;
mod origin;
mod request_id;

pub use self::{
    cors::{Cors, CorsFuture, CorsLayer, CorsPolicy, CorsStats, InvalidCors},
    csrf::{Csrf, CsrfLayer, CsrfStats},
    origin::InvalidOrigin,
    request_id::{RequestId, RequestIdFuture, RequestIdLayer, RequestIdStats, RequestIds},
};
