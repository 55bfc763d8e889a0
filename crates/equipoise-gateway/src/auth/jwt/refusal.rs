use std::fmt;

use http::HeaderValue;

use crate::auth::AuthFailure;

/// The challenge for a token that is refused (RFC 6750, section 3.1).
const INVALID_TOKEN: &str = r#"Bearer error="invalid_token""#;

/// Why a token is refused.
///
/// [`as_str`](Self::as_str) is the label that logs and statistics have. Clients get status 401 with `WWW-Authenticate:
/// Bearer error="invalid_token"` (RFC 6750, section 3.1), or status 403 for [`Scope`](Self::Scope) and
/// [`Claim`](Self::Claim).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no token: not three parts of base64url, or a part is no JSON object, or a member occurs twice in an
    /// object.
    Malformed,
    /// It is longer than the [limit](super::JwtBuilder::max_length).
    TooLong,
    /// The algorithm in its header is not allowed, or `none`, or unknown.
    Algorithm,
    /// Its header has `crit` or `b64`: an extension that changes how the token is read.
    CriticalHeader,
    /// Its `typ` is not one of the [allowed ones](super::JwtBuilder::token_types).
    TokenType,
    /// No key of the right kind has its `kid`, or it has no `kid` and no key is of the right kind.
    UnknownKey,
    /// The signature is not that of the key.
    Signature,
    /// A claim has a type that it may not have, such as a text in `exp`.
    ClaimType,
    /// It has no `iss`, or one of another issuer.
    Issuer,
    /// It has no `aud`, or one of another audience.
    Audience,
    /// It has no `exp`.
    NoExpiry,
    /// It has expired: `exp`.
    Expired,
    /// It is not valid yet: `nbf`.
    NotYetValid,
    /// It was issued in the future: `iat`.
    IssuedInFuture,
    /// The time from `iat` to `exp` is longer than the [limit](super::JwtBuilder::max_lifetime), or it has no `iat`.
    Lifetime,
    /// The claim with the name of the client is missing or empty.
    NoName,
    /// It is valid, but lacks a scope. Status 403.
    Scope,
    /// It is valid, but lacks a claim, or the claim has another value. Status 403.
    Claim,
}

impl Refusal {
    /// All reasons, in the order of their counters.
    pub(super) const ALL: [Self; 18] = [
        Self::Malformed,
        Self::TooLong,
        Self::Algorithm,
        Self::CriticalHeader,
        Self::TokenType,
        Self::UnknownKey,
        Self::Signature,
        Self::ClaimType,
        Self::Issuer,
        Self::Audience,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYetValid,
        Self::IssuedInFuture,
        Self::Lifetime,
        Self::NoName,
        Self::Scope,
        Self::Claim,
    ];

    /// Returns the label, such as `expired`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_token",
            Self::TooLong => "token_too_long",
            Self::Algorithm => "algorithm",
            Self::CriticalHeader => "critical_header",
            Self::TokenType => "token_type",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::ClaimType => "claim_type",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::Lifetime => "lifetime",
            Self::NoName => "no_name",
            Self::Scope => "insufficient_scope",
            Self::Claim => "insufficient_claims",
        }
    }

    /// The failure for a refusal that means that the token is not valid. Clients learn what they can do something
    /// about.
    pub(super) fn failure(self) -> AuthFailure {
        let text = match self {
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::TooLong => "the token is too long",
            Self::Issuer | Self::Audience => "the token is not for this server",
            _ => return AuthFailure::invalid_with(self.as_str(), HeaderValue::from_static(INVALID_TOKEN)),
        };
        let challenge = HeaderValue::try_from(format!("{INVALID_TOKEN}, error_description=\"{text}\""));
        let challenge = challenge.unwrap_or(HeaderValue::from_static(INVALID_TOKEN));
        AuthFailure::invalid_with(self.as_str(), challenge).message(text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
