use equipoise_core::InvalidHashing;

use crate::{
    cookie::InvalidCookie, key::InvalidSessionKey, learn::InvalidName, mode::InvalidValues, source::InvalidProxies,
};

/// Why a mode does not take values that are of the right kinds.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// By the cookie.
    #[error(transparent)]
    Cookie(#[from] InvalidCookie),
    /// By the key that tells sessions.
    #[error(transparent)]
    Key(#[from] InvalidSessionKey),
    /// By what is learned from backends.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// By the names of the endpoints.
    #[error(transparent)]
    Values(#[from] InvalidValues),
    /// By the list of trusted proxies.
    #[error(transparent)]
    Proxies(#[from] InvalidProxies),
    /// By the length of a network.
    #[error(transparent)]
    Prefix(#[from] InvalidHashing),
    /// A parameter would have no effect.
    #[error("{parameter} has no effect with {with}: it goes with {fits}")]
    Unused {
        /// The parameter.
        parameter: &'static str,
        /// What it does not go with.
        with: String,
        /// What it goes with.
        fits: String,
    },
    /// Something has no effect without another parameter.
    #[error("{setting} needs {parameter}=…: {why}")]
    Needs {
        /// What has no effect: a parameter, or one with its value.
        setting: &'static str,
        /// The parameter that it needs.
        parameter: &'static str,
        /// What that one says.
        why: &'static str,
    },
    /// Of two parameters only one can hold.
    #[error("{one} and {other} cannot both be set: take one of them")]
    Together {
        /// One.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// Nothing says where the key is, or nothing that backends can set.
    #[error("there is no place for the key of a session: set {places}")]
    NoPlace {
        /// The parameters that name places.
        places: &'static str,
    },
    /// Nobody could ever get in.
    #[error(
        "missing=refuse with by=table lets nobody in: the table has only sessions of requests that have been let in; \
         take a store that somebody else fills, too"
    )]
    NobodyGetsIn,
    /// No path begins like that.
    #[error("no path begins with {path:?}: in ignore-paths each begins with '/', as in /static")]
    NoPath {
        /// The text as given.
        path: String,
    },
    /// Browsers do not keep such a cookie.
    #[error("same-site=None needs secure: browsers drop the cookie without it")]
    Insecure,
    /// There is a user or a password in it.
    #[error(
        "url has a user or a password in it, and secrets do not stand in the text: build the store with it, hand it \
         over in the means, and say by=store"
    )]
    Secret,
}

impl Refusal {
    /// The parameter that is to blame, if it is a single one.
    pub(super) fn parameter(&self) -> Option<&'static str> {
        match self {
            Self::Cookie(InvalidCookie::Name { .. }) | Self::Key(_) => Some("name"),
            Self::Cookie(InvalidCookie::HostOnly { .. }) => Some("name"),
            Self::Cookie(InvalidCookie::Needs { what, .. }) if what == "its prefix" => Some("name"),
            Self::Cookie(InvalidCookie::Needs { .. }) => Some("attributes"),
            Self::Cookie(InvalidCookie::Domain { .. }) => Some("domain"),
            Self::Cookie(InvalidCookie::Attribute { .. }) => Some("attributes"),
            Self::Proxies(_) => Some("trusted"),
            Self::Values(_) => Some("names"),
            Self::Unused { parameter, .. } => Some(parameter),
            Self::Needs { setting, .. } => setting.split('=').next(),
            Self::Together { other, .. } => Some(other),
            Self::NobodyGetsIn => Some("missing"),
            Self::NoPath { .. } => Some("ignore-paths"),
            Self::Insecure => Some("same-site"),
            Self::Secret => Some("url"),
            _ => None,
        }
    }
}
