//! From settings to modes.

mod cookie;
mod keys;
mod store;

use equipoise_tower::RequestHead;

pub(super) use self::keys::{path, several, source};
use super::{
    context::{BuildAffinityError, BuildContext},
    error::InvalidModeSettings,
    parameters::{BY, BY_STORE, By, FORCE, IGNORE, MAX_KEY, MISSING, Settings, UNAVAILABLE, UNTIL},
};
use crate::{Affinity, Fallback, Mode, cookie::CookieMode, key::SessionKey, learn::InvalidName, read};

type MakeKey = fn(&Settings<'_>, &BuildContext) -> Result<SessionKey, InvalidModeSettings>;

/// How a mode is made.
pub enum Make {
    None,
    /// A key in the request; `by` says where bindings are kept.
    Keyed(MakeKey),
    Cookie(CookieMode),
    Learn,
    Route,
}

impl Make {
    /// Whether the values go together. Parameters that the text sets to their defaults count as set.
    pub(super) fn check(&self, settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
        if settings.is_set(&UNTIL.parameter) && settings.get(&UNAVAILABLE) != Fallback::Rebind {
            let (with, fits) = (settings.written(&UNAVAILABLE.parameter), "unavailable=rebind".to_owned());
            return Err(InvalidModeSettings::Unused { parameter: UNTIL.parameter.name(), with, fits });
        }
        if let Some(name) = settings.get(&FORCE)
            && !read::is_token(&name)
        {
            return Err(InvalidName::Cookie { name }.into());
        }
        if let Some(path) = settings.get(&IGNORE).into_iter().find(|path| !path.starts_with('/')) {
            return Err(InvalidModeSettings::NoPath { path });
        }
        match self {
            Self::None => Ok(()),
            Self::Keyed(key) => {
                store::check(settings)?;
                if settings.get(&BY) == By::Table && settings.get(&MISSING) == Fallback::Refuse {
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
                let key = key.max_len(settings.get(&MAX_KEY)).map_err(InvalidModeSettings::from)?;
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

/// Which requests are bound, and which are forced.
pub(super) fn apply_rules(settings: &Settings<'_>, mut affinity: Affinity) -> Affinity {
    if let Some(name) = settings.get(&FORCE) {
        affinity = affinity.force(move |head| read::cookie(head.headers, &name).is_some());
    }
    let ignored = settings.get(&IGNORE);
    if !ignored.is_empty() {
        affinity = affinity.except(move |head: RequestHead<'_>| {
            ignored.iter().any(|begin| head.uri.path().starts_with(begin.as_str()))
        });
    }
    affinity
}
