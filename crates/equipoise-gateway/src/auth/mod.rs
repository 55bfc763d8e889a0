//! Authentication of requests: Basic, API keys, tokens, certificates, external services and closures.

mod all;
mod any;
mod api_key;
#[cfg(feature = "auth-basic")]
mod basic;
mod credentials;
mod external;
mod fields;
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
pub use self::tls::{AllowedCertificates, CertificateName, ClientCertificates, CustomName};
pub use self::{
    all::AllOf,
    any::AnyOf,
    api_key::{ApiKey, ApiKeys, GeneratedKey, InvalidApiKeys},
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
