//! Modes from parameters. This module checks that the parameters of a mode fit together, and builds the mode.

mod cookie;
mod keys;
mod store;

use equipoise_tower::RequestHead;

pub(super) use self::keys::{path, several, source};
use super::{
    context::{BuildAffinityError, BuildContext},
    error::InvalidModeSettings,
    parameters::{
        BY, BY_STORE, By, FORCE_COOKIE, IGNORE_PATHS, MAX_KEY_LEN, MAX_SHARE, MISSING, Settings, UNAVAILABLE,
    },
};
use crate::{Affinity, Mode, OnUnavailable, cookie::CookieMode, key::SessionKey, learn::InvalidName, read};

type MakeKey = fn(&Settings<'_>, &BuildContext) -> Result<SessionKey, InvalidModeSettings>;

/// How a mode of session affinity is built from the parameters in its text.
pub enum Make {
    None,
    /// A mode that identifies a session by a key in the request, such as a header or the client's address. The
    /// parameter `by` of the mode says where the endpoint of each session is stored. With `by=hash`, it is not stored:
    /// a hashing strategy computes it. The value is a function that creates the key from the parameters.
    Keyed(MakeKey),
    Cookie(CookieMode),
    Learn,
    Route,
}

impl Make {
    /// Checks that the values fit together. A parameter that the text sets to its default counts as set.
    pub(super) fn check(&self, settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
        if settings.is_set(&MAX_SHARE.parameter) && settings.get(&UNAVAILABLE) != OnUnavailable::Rebind {
            let (with, fits) = (settings.written(&UNAVAILABLE.parameter), "unavailable=rebind".to_owned());
            return Err(InvalidModeSettings::Unused { parameter: MAX_SHARE.parameter.name(), with, fits });
        }
        if let Some(name) = settings.get(&FORCE_COOKIE)
            && !read::is_token(&name)
        {
            return Err(InvalidName::Cookie { name }.into());
        }
        if let Some(path) = settings.get(&IGNORE_PATHS).into_iter().find(|path| !path.starts_with('/')) {
            return Err(InvalidModeSettings::NoPath { path });
        }
        match self {
            Self::None => Ok(()),
            Self::Keyed(key) => {
                store::check(settings)?;
                if settings.get(&BY) == By::Table && settings.get(&MISSING) == OnUnavailable::Refuse {
                    return Err(InvalidModeSettings::RefusesAll);
                }
                key(settings, &BuildContext::new()).map(drop)
            }
            Self::Cookie(mode) => cookie::check(*mode, settings),
            Self::Learn => {
                store::check(settings)?;
                keys::learned(settings).map(drop)
            }
            Self::Route => keys::check_route(settings),
        }
    }

    pub(super) fn mode(&self, settings: &Settings<'_>, context: &BuildContext) -> Result<Mode, BuildAffinityError> {
        Ok(match self {
            Self::None => Mode::none(),
            Self::Keyed(key) => {
                let key = key(settings, context)?;
                let key = key.max_len(settings.get(&MAX_KEY_LEN)).map_err(InvalidModeSettings::from)?;
                match settings.get(&BY) {
                    By::Hash => Mode::hash(key),
                    by => Mode::table(key, store::store(by, settings, context)?),
                }
            }
            Self::Cookie(mode) => {
                let cookie = cookie::cookie(*mode, settings)?;
                let values = cookie::values(&cookie, settings, context)?;
                Mode::cookie(cookie, values)
            }
            Self::Learn => {
                Mode::learn(keys::learned(settings)?, store::store(settings.get(&BY_STORE), settings, context)?)
            }
            Self::Route => Mode::route(keys::brought(settings)?, keys::route(settings)),
        })
    }
}

/// Applies `force-cookie` and `ignore-paths`.
pub(super) fn apply_rules(settings: &Settings<'_>, mut affinity: Affinity) -> Affinity {
    if let Some(name) = settings.get(&FORCE_COOKIE) {
        affinity = affinity.force(move |head| read::cookie(head.headers, &name).is_some());
    }
    let ignored = settings.get(&IGNORE_PATHS);
    if !ignored.is_empty() {
        affinity = affinity.except(move |head: RequestHead<'_>| {
            ignored.iter().any(|begin| head.uri.path().starts_with(begin.as_str()))
        });
    }
    affinity
}
