//! JSON Web Tokens (RFC 7519) as bearer tokens (RFC 6750): signed tokens of an issuer, which the gateway verifies
//! itself.
//!
//! [`Jwt`] is a scheme for the [`AuthLayer`](crate::auth::AuthLayer). It needs the keys of the issuer, the name of the
//! issuer and the audience, in other words the name under which the issuer knows the services behind this gateway:
//!
//! ```
//! use equipoise_gateway::auth::{AuthLayer, IdentityFields, jwt::{Jwt, KeySet}};
//! use http::HeaderName;
//!
//! let jwks = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
//! let jwt = Jwt::builder(KeySet::read(jwks)?)
//!     .issuer("https://issuer.test")
//!     .audience("api")
//!     .scopes(["read"])
//!     .claim("email", "email")
//!     .build()?;
//! // The backend learns of the client by `X-Auth-User` and `X-Auth-Email`, which the client cannot set.
//! let fields = IdentityFields::default().attribute("email", HeaderName::from_static("x-auth-email"))?;
//! let layer = AuthLayer::new(jwt).identity_fields(fields);
//! # drop(layer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is verified
//!
//! - The form: three parts of base64url without padding, JSON objects in which no member occurs twice, at most 8 KiB.
//!   Encrypted tokens (JWE) and unsecured ones (`alg` of `none`) are refused.
//! - The header: `alg` is among the [allowed algorithms](JwtBuilder::algorithms) and fits to the kind of the key, so a
//!   public key is never used as the secret of HMAC. `crit` and `b64` are refused. `typ` is absent, `JWT` or `at+jwt`,
//!   or what [is allowed](JwtBuilder::token_types) instead. Keys and URLs in the header (`jwk`, `jku`, `x5c`, `x5u`)
//!   are ignored.
//! - The signature. It is verified in the task of the request, without waiting, in about 5 µs (HS256), 60 µs (EdDSA),
//!   80 µs (RS256), 300 µs (ES256) or 1 ms (ES384) of CPU time. [Verified tokens are
//!   remembered](JwtBuilder::remembered), so that only the first request with a token costs that. Requests with invalid
//!   signatures always cost it, and up to four times as much if their tokens have no `kid` and several keys fit: put
//!   rate limits by address before the authentication. Applications that install the `CryptoProvider` of another library
//!   for the crate `jsonwebtoken` get its speed.
//! - The claims: `iss`, `aud`, `exp`, and if they are there `nbf` and `iat`, with a [leeway](JwtBuilder::leeway) for
//!   clocks. Then scopes and other claims, if the [builder](JwtBuilder) requires them.
//!
//! Not verified: whether the issuer has revoked the token, and whether the client has the key to which the token is
//! bound (`cnf`, RFC 8705 and RFC 9449).
//!
//! # Keys
//!
//! [`Keys`] are fixed, or come from a [file](Keys::file) or a [JWKS URL](Keys::url), which are read again. The last
//! good keys stay in use if that fails.
//!
//! # Responses
//!
//! As RFC 6750, section 3 defines them: 401 without a token and for a token that is not valid (`invalid_token`), 403
//! for a token without the scopes (`insufficient_scope`). 503 if there are no keys, or if hundreds of requests wait for
//! new ones.

mod algorithm;
mod builder;
mod claims;
mod error;
mod json;
mod keys;
mod memory;
mod refusal;
mod rules;
mod scheme;
mod source;
mod stats;
#[cfg(test)]
mod tests;
mod token;

pub use self::{
    algorithm::{Algorithm, UnknownAlgorithm},
    builder::JwtBuilder,
    error::InvalidJwt,
    keys::{
        IgnoredKey, IgnoredReason, InvalidKey, InvalidKeySet, InvalidKeys, KeySet, Keys, KeysBuilder, KeysStats,
        VerifyingKey,
    },
    refusal::Refusal,
    scheme::Jwt,
    stats::JwtStats,
};
