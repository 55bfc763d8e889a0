//! A cookie that the balancer sets, or takes part in.

use std::{collections::BTreeMap, sync::Arc};

use super::{BuildError, Means, Refusal, Settings, fits};
use crate::{
    Values,
    by_name::means::Keys,
    cookie::{CookieMode, PersistenceCookie, PersistenceCookieBuilder},
};

pub(super) fn check(mode: CookieMode, settings: &Settings<'_>) -> Result<(), Refusal> {
    let values: &str = settings.get("values");
    if settings.is_set("names") && values != "name" {
        return Err(fits("names", "values", values, ["name"].into_iter()));
    }
    // Dates beside the value are of a cookie that the balancer sets; in a token, they are a part of it.
    if mode != CookieMode::Insert && values != "token" {
        for parameter in ["idle", "life"] {
            if settings.is_set(parameter) {
                return Err(fits(parameter, "values", values, ["token"].into_iter()));
            }
        }
    }
    if settings.get_if_set("same-site") == Some("None") && !settings.flag("secure") {
        return Err(Refusal::Insecure);
    }
    let cookie = cookie(mode, settings)?;
    if values == "name" {
        named(&cookie, settings)?;
    }
    Ok(())
}

pub(super) fn cookie(mode: CookieMode, settings: &Settings<'_>) -> Result<PersistenceCookie, Refusal> {
    let name: String = settings.get("name");
    let mut cookie = match mode {
        CookieMode::Insert => PersistenceCookie::insert(name),
        CookieMode::Rewrite => PersistenceCookie::rewrite(name),
        CookieMode::Prefix => PersistenceCookie::prefix(name),
    };
    for (flag, set) in [
        ("indirect", PersistenceCookieBuilder::indirect as fn(_) -> _),
        ("nocache", PersistenceCookieBuilder::nocache),
        ("preserve", PersistenceCookieBuilder::preserve),
        ("postonly", PersistenceCookieBuilder::postonly),
        ("httponly", PersistenceCookieBuilder::httponly),
        ("secure", PersistenceCookieBuilder::secure),
    ] {
        if settings.flag(flag) {
            cookie = set(cookie);
        }
    }
    if let Some(domain) = settings.get_if_set::<String>("domain") {
        cookie = cookie.domain(domain);
    }
    if let Some(site) = settings.get_if_set::<&str>("same-site") {
        cookie = cookie.attribute(format!("SameSite={site}"));
    }
    for attribute in settings.get_if_set::<Vec<String>>("attributes").unwrap_or_default() {
        cookie = cookie.attribute(attribute);
    }
    if settings.get::<&str>("values") != "token" {
        if let Some(idle) = settings.get_if_set("idle") {
            cookie = cookie.max_idle(idle);
        }
        if let Some(life) = settings.get_if_set("life") {
            cookie = cookie.max_life(life);
        }
    }
    let cookie = cookie.most_cookies(settings.get("most-cookies")).most_bytes(settings.get("most-bytes"));
    Ok(cookie.build()?)
}

pub(super) fn values(cookie: &PersistenceCookie, settings: &Settings<'_>, means: &Means) -> Result<Values, BuildError> {
    let mode = settings.mode();
    match settings.get("values") {
        "id" => Ok(Values::ids()),
        "name" => Ok(named(cookie, settings)?),
        "dynamic" => Ok(Values::dynamic(means.dynamic_key.as_ref().ok_or(BuildError::NoDynamicKey { mode })?)),
        _ => {
            let mut values = match means.keys.as_ref().ok_or(BuildError::NoKeys { mode })? {
                Keys::Ring(ring) => Values::tokens(ring.clone(), cookie),
                Keys::Tokens(tokens) => Values::of_tokens(Arc::clone(tokens)),
            };
            if let Some(idle) = settings.get_if_set("idle") {
                values = values.idle(idle);
            }
            if let Some(life) = settings.get_if_set("life") {
                values = values.life(life);
            }
            Ok(values)
        }
    }
}

fn named(cookie: &PersistenceCookie, settings: &Settings<'_>) -> Result<Values, Refusal> {
    let why = "each endpoint's id and what it is called, such as {\"10.0.0.1:80\"=A}";
    let missing = Refusal::Needs { setting: "values=name", parameter: "names", why };
    let names: BTreeMap<String, String> = settings.get_if_set("names").ok_or(missing)?;
    Ok(Values::named(cookie, names)?)
}
