use equipoise_core::InvalidHashing;

use crate::{
    cookie::InvalidCookie, key::InvalidSessionKey, learn::InvalidName, mode::InvalidNaming, source::InvalidProxies,
};

/// Why a mode refuses values that are of the right kinds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidModeSettings {
    /// A setting of the cookie is refused.
    #[error(transparent)]
    Cookie(#[from] InvalidCookie),
    /// The key that identifies sessions is refused.
    #[error(transparent)]
    Key(#[from] InvalidSessionKey),
    /// The name of a cookie, header or parameter that backends set is refused.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The names of the endpoints are refused.
    #[error(transparent)]
    Naming(#[from] InvalidNaming),
    /// The list of trusted proxies is refused.
    #[error(transparent)]
    Proxies(#[from] InvalidProxies),
    /// The length of a network prefix is refused.
    #[error(transparent)]
    Prefix(#[from] InvalidHashing),
    /// A parameter would have no effect with the value of another one.
    #[error("{parameter} has no effect with {with}: it goes with {fits}")]
    Unused {
        /// The parameter without effect.
        parameter: &'static str,
        /// The other parameter and its value, such as `by=hash`.
        with: String,
        /// The values with which it has an effect, such as `by=table or by=store`.
        fits: String,
    },
    /// A parameter has no effect without another one.
    #[error("{setting} needs {parameter}=…: {why}")]
    Needs {
        /// The parameter without effect, or the parameter and its value, such as `by=redis`.
        setting: &'static str,
        /// The parameter that it needs.
        parameter: &'static str,
        /// What the needed parameter means.
        why: &'static str,
    },
    /// Two parameters exclude each other.
    #[error("{one} and {other} cannot both be set: take one of them")]
    Together {
        /// The first parameter.
        one: &'static str,
        /// The second parameter.
        other: &'static str,
    },
    /// No parameter says where the key of a session is, or none that backends can set.
    #[error("there is no place for the key of a session: set {places}")]
    NoPlace {
        /// The parameters that can say so.
        places: &'static str,
    },
    /// `missing=refuse` with `by=table`: every request would be refused.
    #[error(
        "missing=refuse with by=table refuses every request: the table has only sessions of requests that were \
         accepted; use a store that is filled from elsewhere too"
    )]
    RefusesAll,
    /// An entry of `ignore-paths` does not begin with `/`.
    #[error("no path begins with {path:?}: in ignore-paths each begins with '/', as in /static")]
    NoPath {
        /// The entry as given.
        path: String,
    },
    /// `same-site=None` without `secure`: browsers drop such cookies.
    #[error("same-site=None needs secure: browsers drop the cookie without it")]
    Insecure,
    /// The `url` has a user or a password in it.
    #[error(
        "url has a user or a password in it, and secrets do not stand in the text: build the store with it, pass it \
         to BuildContext::store, and set by=store"
    )]
    Secret,
}

impl InvalidModeSettings {
    /// The parameter that the refusal is about, if it is about a single one.
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
