//! Authentication: requests are passed on only if their sender has proved its identity.
//!
//! An [`AuthLayer`] asks one or several schemes. Inner layers and services find the verified
//! [`Identity`](crate::Identity) in the extensions of the request, and backends find it in [fields](IdentityFields)
//! that clients cannot set.
//!
//! | scheme | feature | credentials |
//! | --- | --- | --- |
//! | `Basic` | `auth-basic` | name and password, with hashes of argon2 and bcrypt |
//! | [`ApiKey`] | `auth` | a secret in a field, in `Authorization: Bearer` or in the query |
//! | `jwt` | `auth-jwt` | JSON Web Tokens |
//! | `ClientCertificates` | `auth-tls` | the certificate of the TLS handshake |
//! | [`External`] | `auth` | what an external service decides |
//! | closures and [`Authenticate`] | `auth` | anything in the head of a request |
//!
//! [`AuthLayer::or`] and [`AnyOf`] accept one of several schemes, [`AllOf`] all of them. [`AuthLayer::optional`] passes
//! on anonymous requests too. [`Requirements`] say which identities are allowed.
//!
//! ```
//! use equipoise_gateway::auth::{ApiKey, ApiKeys, AuthLayer};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let generated = ApiKeys::generate();
//! let keys: ApiKeys = format!("reports:{}", generated.hash).parse()?;
//! let backend = service_fn(|request: Request<()>| async move {
//!     assert_eq!(request.headers()["x-auth-user"], "reports");
//!     Ok::<_, std::convert::Infallible>(Response::new(()))
//! });
//! let service = AuthLayer::new(ApiKey::header(keys)).layer(backend);
//!
//! let request = Request::get("/").header("x-api-key", generated.key).header("x-auth-user", "admin").body(())?;
//! assert_eq!(service.clone().oneshot(request).await?.status(), 200);
//! assert_eq!(service.oneshot(Request::get("/").body(())?).await?.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! # Order of layers
//!
//! Put limits by client address around the authentication: they bound how often passwords and keys can be tried. Put
//! the layer for CORS around it too, because preflight requests have no credentials. Everything that anonymous requests
//! must not reach belongs inside: caches, limits by identity, and the backend.
//!
//! # What it does not do
//!
//! - It has no sessions and no login pages. A service behind [`External`] can have them.
//! - It has no Digest authentication and no OAuth 2.0 flows. Tokens of such flows are verified by the scheme for JSON
//!   Web Tokens.
//! - It does not mark responses as private. A shared cache in front of the gateway does not store responses to requests
//!   with `Authorization` without permission (RFC 9111, section 3.5). It may store those to requests with other
//!   credentials.
//! - It does not lock out users. Limit requests by address and by name instead: with a lock, an attacker could lock out
//!   any user.
//! - Fields in the trailers of requests stay, except that those of [`IdentityFields`] are not announced in `Trailer`.
//!   Backends must not merge trailers into the head of a request (RFC 9110, section 6.5.1).

mod all;
mod any;
mod api_key;
#[cfg(feature = "auth-basic")]
mod basic;
mod credentials;
mod external;
mod fields;
mod gate;
#[cfg(feature = "auth-jwt")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth-jwt")))]
pub mod jwt;
mod layer;
mod list;
mod live;
mod realm;
mod require;
mod scheme;
mod service;
mod stats;
#[cfg(test)]
mod tests;
mod time;
#[cfg(feature = "auth-tls")]
mod tls;

#[cfg(feature = "auth-basic")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth-basic")))]
pub use self::basic::{Basic, BasicStats, InvalidUsers, Users};
#[cfg(feature = "auth-tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "auth-tls")))]
pub use self::tls::{AllowedCertificates, CertificateName, ClientCertificates, CustomName, InvalidFingerprint};
pub use self::{
    all::AllOf,
    any::AnyOf,
    api_key::{ApiKey, ApiKeys, GeneratedKey, InvalidApiKeys},
    credentials::InvalidCredentialField,
    external::{DecisionCache, External, ExternalStats, InvalidExternal},
    fields::{IdentityFields, InvalidIdentityField},
    layer::AuthLayer,
    list::join_list,
    live::Live,
    realm::{InvalidRealm, Realm},
    require::Requirements,
    scheme::{AuthFailure, AuthFuture, AuthResult, Authenticate, Authenticated},
    service::{Auth, AuthServiceFuture},
    stats::{AuthStats, SchemeStats},
};
