//! Authentication of requests: Basic, API keys, tokens, certificates, external services and closures.

mod credentials;
#[cfg(feature = "auth-jwt")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth-jwt")))]
pub mod jwt;
mod realm;
mod scheme;

pub use self::{
    realm::{InvalidRealm, Realm},
    scheme::{AuthFailure, AuthFuture, AuthResult, Authenticate, Authenticated},
};
