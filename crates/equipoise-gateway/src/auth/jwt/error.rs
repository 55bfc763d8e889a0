use crate::{InvalidSetting, auth::InvalidCredentialField};

/// Why tokens cannot be verified with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwt {
    /// No issuer is set.
    #[error("tokens of any issuer would be accepted: name the issuer, or say `any_issuer`")]
    NoIssuer,
    /// No audience is set.
    #[error("tokens for other services would be accepted: name the audience, or say `any_audience`")]
    NoAudience,
    /// The list of algorithms is empty.
    #[error("no algorithm is allowed: name at least one")]
    NoAlgorithm,
    /// None of the keys verifies one of the allowed algorithms.
    #[error("no key fits to the allowed algorithms ({allowed}): the keys are for {fits}")]
    #[non_exhaustive]
    NoKey {
        /// The allowed algorithms, separated by commas.
        allowed: String,
        /// The algorithms that the keys fit to, separated by commas.
        fits: String,
    },
    /// The list of types of tokens is empty.
    #[error("no type of tokens is allowed: name at least one, or say `any_token_type`")]
    NoTokenType,
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A text is no path to a claim.
    #[error("{path:?} is no claim: use a name such as `email`, a path such as `a.b`, or a JSON pointer such as `/a/b`")]
    #[non_exhaustive]
    Path {
        /// The text that was refused.
        path: String,
    },
    /// A list of scopes is empty, so that nothing is required.
    #[error("a list of scopes is empty, and would require nothing: name at least one, or leave the list out")]
    NoScope,
    /// A text is no scope.
    #[error("{scope:?} is no scope: use printable characters of ASCII except space, `\"` and `\\`")]
    #[non_exhaustive]
    Scope {
        /// The text that was refused.
        scope: String,
    },
    /// The token cannot be in this field.
    #[error(transparent)]
    Field(#[from] InvalidCredentialField),
    /// A text is no name of a cookie.
    #[error("{name:?} is no name of a cookie: use letters, digits, `_`, `-` and `.`")]
    #[non_exhaustive]
    Cookie {
        /// The text that was refused.
        name: String,
    },
    /// A list of values of a claim is empty, so that no token has one of them.
    #[error("no value is allowed for the claim {path}: name at least one")]
    #[non_exhaustive]
    NoValue {
        /// The path of the claim.
        path: String,
    },
}
