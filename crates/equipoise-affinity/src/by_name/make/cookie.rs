//! The cookies of the modes `cookie`, `rewrite` and `prefix`. This module builds the cookie and the naming of endpoints
//! from the parameters of the mode.

use std::sync::Arc;

use equipoise_core::spec::Parameter;

use super::{
    super::{
        context::{BuildAffinityError, BuildContext, Keys},
        error::InvalidModeSettings,
        parameters::*,
    },
    store::has_no_effect,
};
use crate::{
    EndpointNaming,
    cookie::{CookieMode, PersistenceCookie, PersistenceCookieBuilder},
};

pub(super) fn check(mode: CookieMode, settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
    let values = settings.get(&VALUES);
    let only_with = |parameter: &Parameter, fitting: Naming| {
        has_no_effect(parameter, &VALUES.parameter, values.word(), [fitting.word()].into_iter())
    };
    if settings.is_set(&NAMES.parameter) && values != Naming::Name {
        return Err(only_with(&NAMES.parameter, Naming::Name));
    }
    // Tokens contain dates. Other values do not: for them, only a cookie that the balancer itself sets can have dates.
    if mode != CookieMode::Insert && values != Naming::Token {
        for parameter in [&COOKIE_IDLE_TIMEOUT.parameter, &LIFETIME.parameter] {
            if settings.is_set(parameter) {
                return Err(only_with(parameter, Naming::Token));
            }
        }
    }
    if settings.get(&SAME_SITE) == Some(SameSite::None) && !settings.get(&SECURE) {
        return Err(InvalidModeSettings::Insecure);
    }
    let cookie = cookie(mode, settings)?;
    if values == Naming::Name {
        named(&cookie, settings)?;
    }
    Ok(())
}

pub(super) fn cookie(mode: CookieMode, settings: &Settings<'_>) -> Result<PersistenceCookie, InvalidModeSettings> {
    let name = settings.get(&COOKIE_NAME);
    let mut cookie = match mode {
        CookieMode::Insert => PersistenceCookie::insert(name),
        CookieMode::Rewrite => PersistenceCookie::rewrite(name),
        CookieMode::Prefix => PersistenceCookie::prefix(name),
    };
    for (flag, set) in [
        (&INDIRECT, PersistenceCookieBuilder::indirect as fn(_) -> _),
        (&NOCACHE, PersistenceCookieBuilder::nocache),
        (&PRESERVE, PersistenceCookieBuilder::preserve),
        (&POSTONLY, PersistenceCookieBuilder::postonly),
        (&HTTPONLY, PersistenceCookieBuilder::httponly),
        (&SECURE, PersistenceCookieBuilder::secure),
    ] {
        if settings.get(flag) {
            cookie = set(cookie);
        }
    }
    if let Some(domain) = settings.get(&DOMAIN) {
        cookie = cookie.domain(domain);
    }
    if let Some(site) = settings.get(&SAME_SITE) {
        cookie = cookie.attribute(format!("SameSite={}", site.word()));
    }
    for attribute in settings.get(&ATTRIBUTES) {
        cookie = cookie.attribute(attribute);
    }
    if settings.get(&VALUES) != Naming::Token {
        if let Some(idle) = settings.get(&COOKIE_IDLE_TIMEOUT) {
            cookie = cookie.idle_timeout(idle);
        }
        if let Some(life) = settings.get(&LIFETIME) {
            cookie = cookie.lifetime(life);
        }
    }
    let cookie = cookie.max_cookies(settings.get(&MAX_COOKIES)).max_bytes(settings.get(&MAX_BYTES));
    Ok(cookie.build()?)
}

pub(super) fn values(
    cookie: &PersistenceCookie,
    settings: &Settings<'_>,
    context: &BuildContext,
) -> Result<EndpointNaming, BuildAffinityError> {
    let mode = settings.name();
    match settings.get(&VALUES) {
        Naming::Id => Ok(EndpointNaming::ids()),
        Naming::Name => Ok(named(cookie, settings)?),
        Naming::Dynamic => {
            Ok(EndpointNaming::dynamic(context.dynamic_key.as_ref().ok_or(BuildAffinityError::NoDynamicKey { mode })?))
        }
        Naming::Token => {
            let mut values = match context.keys.as_ref().ok_or(BuildAffinityError::NoKeys { mode })? {
                Keys::Ring(ring) => EndpointNaming::tokens(ring.clone(), cookie),
                Keys::Tokens(tokens) => EndpointNaming::from_tokens(Arc::clone(tokens)),
            };
            if let Some(idle) = settings.get(&COOKIE_IDLE_TIMEOUT) {
                values = values.idle_timeout(idle);
            }
            if let Some(life) = settings.get(&LIFETIME) {
                values = values.lifetime(life);
            }
            Ok(values)
        }
    }
}

fn named(cookie: &PersistenceCookie, settings: &Settings<'_>) -> Result<EndpointNaming, InvalidModeSettings> {
    let reason = "the id of each endpoint and its name in the cookie, such as {\"10.0.0.1:80\"=A}";
    let missing = InvalidModeSettings::Needs { setting: "values=name", parameter: "names", reason };
    let names = settings.get(&NAMES).ok_or(missing)?;
    Ok(EndpointNaming::named(cookie, names)?)
}
