//! From settings to modes.

mod backend;
mod cookie;
mod keyed;
mod rules;
mod store;

use self::store::fits;
pub(super) use self::{
    keyed::{all_of, app_cookie, first_of, header, host, path, path_parameter, query, source},
    rules::apply as apply_rules,
};
use super::{
    BuildAffinityError, BuildContext, InvalidModeSettings, Settings,
    parameters::{BY, BY_STORE, MAX_KEY, UNAVAILABLE, UNTIL},
    words::By,
};
use crate::{Fallback, Mode, cookie::CookieMode, key::SessionKey};

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
        rules::check(settings)?;
        match self {
            Self::None => Ok(()),
            Self::Keyed(key) => {
                store::check(settings)?;
                keyed::check(settings)?;
                key(settings, &BuildContext::new()).map(drop)
            }
            Self::Cookie(mode) => cookie::check(*mode, settings),
            Self::Learn => {
                store::check(settings)?;
                backend::learn(settings).map(drop)
            }
            Self::Route => backend::check_route(settings),
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
                Mode::learn(backend::learn(settings)?, store::store(settings.get(&BY_STORE), settings, context)?)
            }
            Self::Route => Mode::route(backend::places(settings)?, backend::route(settings)),
        })
    }
}
