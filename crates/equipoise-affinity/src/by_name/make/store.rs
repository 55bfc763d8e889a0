//! The session stores of modes. This module builds the store that the parameter `by` selects, and checks that the other
//! parameters have an effect with this store.

use std::sync::Arc;

use equipoise_core::spec::{Parameter, either};

use super::super::{
    context::{BuildAffinityError, BuildContext},
    error::InvalidModeSettings,
    parameters::*,
};
#[cfg(feature = "redis")]
use crate::redis::RedisStore;
use crate::{SessionStore, table::SessionTable};

/// For each parameter, the values of `by` with which it has an effect. A parameter that is not listed has an effect
/// with all of them.
const FITS: &[(Parameter, &[By])] = &[
    // With `hash`, the strategy skips endpoints that cannot serve a request.
    (UNAVAILABLE.parameter, By::STORES),
    (MAX_SHARE.parameter, By::STORES),
    (FORCE_COOKIE.parameter, By::STORES),
    (IDLE_TIMEOUT.parameter, EXPIRING),
    (LIFETIME.parameter, EXPIRING),
    (CAPACITY.parameter, &[By::Table]),
    #[cfg(feature = "redis")]
    (URL.parameter, &[By::Redis]),
    #[cfg(feature = "redis")]
    (KEY_PREFIX.parameter, &[By::Redis]),
    #[cfg(feature = "redis")]
    (CACHE_TTL.parameter, &[By::Redis]),
    #[cfg(feature = "redis")]
    (CACHE_CAPACITY.parameter, &[By::Redis]),
    (LOOKUP_TIMEOUT.parameter, ASKED),
];

/// The stores whose idle timeout and lifetime are parameters.
const EXPIRING: &[By] = &[
    By::Table,
    #[cfg(feature = "redis")]
    By::Redis,
];

/// The stores whose answer a request may have to wait for.
const ASKED: &[By] = &[
    #[cfg(feature = "redis")]
    By::Redis,
    By::Store,
];

pub(super) fn check(settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
    // This also reads `by` of modes with `BY_STORE`, whose words are a part of the words of `BY`.
    let by = settings.get(&BY);
    for (parameter, fitting) in FITS {
        if settings.is_set(parameter) && !fitting.contains(&by) {
            return Err(has_no_effect(parameter, &BY.parameter, by.word(), fitting.iter().map(|by| by.word())));
        }
    }
    #[cfg(feature = "redis")]
    if by == By::Redis {
        let needs = InvalidModeSettings::Needs {
            setting: "by=redis",
            parameter: "url",
            reason: "the address of the Redis server, such as redis://10.0.0.5:6379/0",
        };
        if has_secrets(&settings.get(&URL).ok_or(needs)?) {
            return Err(InvalidModeSettings::Secret);
        }
    }
    Ok(())
}

/// Returns the error for a parameter that has an effect only with other values of `setting`.
pub(super) fn has_no_effect(
    parameter: &Parameter,
    setting: &Parameter,
    value: &str,
    fitting: impl Iterator<Item = &'static str>,
) -> InvalidModeSettings {
    let setting = setting.name();
    let fits: Vec<String> = fitting.map(|value| format!("{setting}={value}")).collect();
    let fits = either(fits.iter().map(String::as_str));
    InvalidModeSettings::Unused { parameter: parameter.name(), with: format!("{setting}={value}"), fits }
}

/// Whether a URL contains a user or a password, as in `redis://user:password@host` or
/// `redis+unix:///path?pass=password`.
#[cfg(feature = "redis")]
fn has_secrets(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, query) = rest.split_once('?').unwrap_or_default();
    authority.contains('@') || query.split(['&', '#']).any(|pair| pair.starts_with("pass") || pair.starts_with("user"))
}

pub(super) fn store(
    by: By,
    settings: &Settings<'_>,
    context: &BuildContext,
) -> Result<Arc<dyn SessionStore>, BuildAffinityError> {
    let (idle_timeout, lifetime) = (settings.get(&IDLE_TIMEOUT), settings.get(&LIFETIME));
    match by {
        By::Table => {
            let table =
                SessionTable::builder().capacity(settings.get(&CAPACITY)).idle_timeout(idle_timeout).lifetime(lifetime);
            Ok(Arc::new(table.build()?))
        }
        #[cfg(feature = "redis")]
        By::Redis => {
            let mut redis = RedisStore::builder(&settings.get(&URL).unwrap_or_default())
                .prefix(settings.get(&KEY_PREFIX))
                .cache_ttl(settings.get(&CACHE_TTL))
                .cache_capacity(settings.get(&CACHE_CAPACITY))
                .idle_timeout(idle_timeout);
            if let Some(lifetime) = lifetime {
                redis = redis.lifetime(lifetime);
            }
            if let Some(timeout) = settings.get(&LOOKUP_TIMEOUT) {
                redis = redis.lookup_timeout(timeout);
            }
            Ok(Arc::new(redis.build()?))
        }
        // This function is not called for `hash`, which needs no store.
        By::Store | By::Hash => context.store.clone().ok_or(BuildAffinityError::NoStore { mode: settings.name() }),
    }
}
