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
    store::{KEYED, STORES},
};
use super::{BuildError, Means, Refusal, Settings, value::Value};
use crate::{Fallback, Mode, cookie::CookieMode, key::SessionKey};

/// How a mode is made.
pub(super) enum Make {
    None,
    Keyed(fn(&Settings<'_>, &Means) -> Result<SessionKey, Refusal>),
    Cookie(CookieMode),
    Learn,
    Route,
}

impl Make {
    /// Whether the values go together; of those that the text sets, also where they are defaults.
    pub(super) fn check(&self, settings: &Settings<'_>) -> Result<(), Refusal> {
        let unavailable = settings.get_if_set("unavailable").unwrap_or(Fallback::Rebind);
        if settings.is_set("until-saturated") && unavailable != Fallback::Rebind {
            let with = format!("unavailable={}", Value::Fallback(unavailable));
            let fits = "unavailable=rebind".to_owned();
            return Err(Refusal::Unused { parameter: "until-saturated", with, fits });
        }
        rules::check(settings)?;
        match self {
            Self::None => Ok(()),
            Self::Keyed(key) => {
                store::check(settings)?;
                keyed::check(settings)?;
                key(settings, &Means::new()).map(drop)
            }
            Self::Cookie(mode) => cookie::check(*mode, settings),
            Self::Learn => {
                store::check(settings)?;
                backend::learn(settings).map(drop)
            }
            Self::Route => backend::check_route(settings),
        }
    }

    pub(super) fn mode(&self, settings: &Settings<'_>, means: &Means) -> Result<Mode, BuildError> {
        Ok(match self {
            Self::None => Mode::none(),
            Self::Keyed(key) => {
                let key = key(settings, means)?;
                let key = key.longest(settings.get("longest")).map_err(Refusal::from)?;
                match settings.get("by") {
                    "hash" => Mode::hash(key),
                    by => Mode::table(key, store::store(by, settings, means)?),
                }
            }
            Self::Cookie(mode) => {
                let cookie = cookie::cookie(*mode, settings)?;
                let values = cookie::values(&cookie, settings, means)?;
                Mode::cookie(cookie, values)
            }
            Self::Learn => Mode::learn(backend::learn(settings)?, store::store(settings.get("by"), settings, means)?),
            Self::Route => Mode::route(backend::places(settings)?, backend::route(settings)),
        })
    }
}
