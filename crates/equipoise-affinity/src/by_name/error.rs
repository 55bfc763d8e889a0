use equipoise_core::InvalidHashing;

use crate::{
    cookie::InvalidCookie, key::InvalidSessionKey, learn::InvalidName, mode::InvalidNaming, source::InvalidProxies,
};

/// Why the parameters of a mode are invalid, although each value has the right kind (such as a number or a time).
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidModeSettings {
    /// A setting of the mode's cookie is invalid.
    #[error(transparent)]
    Cookie(#[from] InvalidCookie),
    /// The session key, which identifies sessions, is invalid. For example, the parameter `name` of the mode `header`
    /// is not a valid header name.
    #[error(transparent)]
    Key(#[from] InvalidSessionKey),
    /// The value of one of these parameters is not a valid name of a cookie, a header or a URL parameter:
    ///
    /// - `force-cookie`
    /// - in the modes `learn` and `route`: `cookie`, `header`, `path-parameter` or `query`
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The names of the endpoints in the parameter `names` are invalid.
    #[error(transparent)]
    Naming(#[from] InvalidNaming),
    /// The list of trusted proxies in the parameter `trusted` is invalid.
    #[error(transparent)]
    Proxies(#[from] InvalidProxies),
    /// The number of address bits in the parameter `v4` or `v6` is out of range.
    #[error(transparent)]
    Prefix(#[from] InvalidHashing),
    /// A parameter is set, but it has no effect because of the value of another parameter.
    #[error("{parameter} has no effect with {with}: use it with {fits}")]
    Unused {
        /// The name of the parameter that has no effect.
        parameter: &'static str,
        /// The parameter and its value that prevent the effect, such as `by=hash`.
        with: String,
        /// The settings with which the unused parameter would have an effect, such as `by=table or by=store`.
        fits: String,
    },
    /// A parameter is set without another parameter that it needs.
    #[error("{setting} needs {parameter}=…: {reason}")]
    Needs {
        /// The parameter that is set. It is a name such as `max-hops`, or a name and a value such as `by=redis`.
        setting: &'static str,
        /// The name of the missing parameter.
        parameter: &'static str,
        /// What the missing parameter is for. A part of the error message.
        reason: &'static str,
    },
    /// Two parameters are set, but only one of the two may be set.
    #[error("{one} and {other} cannot both be set: use one of them")]
    Together {
        /// The name of the first of the two parameters.
        one: &'static str,
        /// The name of the second of the two parameters.
        other: &'static str,
    },
    /// No parameter says where requests have the session key, such as in a cookie or in a header. In the mode `learn`,
    /// this error also occurs if neither the parameter `cookie` nor the parameter `header` is set, because backends can
    /// set the key only in a cookie or a header.
    #[error("no parameter says where requests have the session key: set {parameters}")]
    NoKeySource {
        /// A list of parameters as a text, such as `cookie, header, path-parameter or query`. At least one of them must
        /// be set.
        parameters: &'static str,
    },
    /// `missing=refuse` is set with `by=table`, so that every request would be refused: a session gets into the table
    /// only when a request is accepted.
    #[error(
        "missing=refuse with by=table refuses every request, because a session gets into the table only when a \
         request is accepted: use another store, or missing=rebind"
    )]
    RefusesAll,
    /// A text in the parameter `ignore-paths` does not begin with `/`. Paths begin with `/`, as in `/static`.
    #[error("ignore-paths cannot contain {path:?}: each text must begin with '/', as in /static")]
    NoPath {
        /// The text that does not begin with `/`.
        path: String,
    },
    /// `same-site=None` is set without `secure`. Browsers drop such a cookie.
    #[error("same-site=None needs secure: browsers ignore the cookie without it")]
    Insecure,
    /// The parameter `url` contains a user or a password. Secrets must not be in the text of a mode, because the text
    /// may be logged.
    #[error(
        "url contains a user or a password, but the text of a mode must not contain secrets: create the RedisStore in \
         code, pass it to BuildContext::store, and set by=store"
    )]
    Secret,
}

impl InvalidModeSettings {
    /// Returns the name of the parameter that the error is about; `None` if it is about several.
    pub(super) fn parameter(&self) -> Option<&'static str> {
        match self {
            Self::Cookie(InvalidCookie::Name { .. }) | Self::Key(_) => Some("name"),
            Self::Cookie(InvalidCookie::HostOnly { .. }) => Some("name"),
            Self::Cookie(InvalidCookie::Needs { what, .. }) if what == "its prefix" => Some("name"),
            Self::Cookie(InvalidCookie::Needs { .. }) => Some("attributes"),
            Self::Cookie(InvalidCookie::Domain { .. }) => Some("domain"),
            Self::Cookie(InvalidCookie::Attribute { .. }) => Some("attributes"),
            Self::Proxies(_) => Some("trusted"),
            Self::Naming(_) => Some("names"),
            Self::Unused { parameter, .. } => Some(parameter),
            Self::Needs { setting, .. } => setting.split('=').next(),
            Self::Together { other, .. } => Some(other),
            Self::RefusesAll => Some("missing"),
            Self::NoPath { .. } => Some("ignore-paths"),
            Self::Insecure => Some("same-site"),
            Self::Secret => Some("url"),
            _ => None,
        }
    }
}
