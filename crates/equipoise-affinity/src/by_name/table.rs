//! Every mode by name: what is parsed, written and listed follows from here.

use super::{
    make::{self, Make},
    parameters::*,
};
use crate::{cookie::CookieMode, key::SessionKey};

/// A test compares the presets with the builders' defaults.
pub(super) const ALL: &[ModeDefinition] = &[
    ModeDefinition::new("none", "no affinity: the strategy picks for every request", &[], Make::None),
    ModeDefinition::new(
        "source",
        "by the client's address, or its network",
        with_store![BY; V4, V6, TRUSTED, FORWARDED, HOPS],
        Make::Keyed(make::source),
    ),
    ModeDefinition::new(
        "header",
        "by a header of the request",
        with_store![BY; HEADER_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::header(&settings.get(&HEADER_NAME))?)),
    ),
    ModeDefinition::new(
        "app-cookie",
        "by a cookie of the application, which is left unchanged",
        with_store![BY; APP_COOKIE_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::cookie(&settings.get(&APP_COOKIE_NAME))?)),
    ),
    ModeDefinition::new(
        "query",
        "by a parameter of the query",
        with_store![BY; URL_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::query_parameter(&settings.get(&URL_NAME))?)),
    ),
    ModeDefinition::new(
        "path-parameter",
        "by a parameter of the path, as in /shop;sid=3f9a/cart",
        with_store![BY; URL_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::path_parameter(&settings.get(&URL_NAME))?)),
    ),
    ModeDefinition::new(
        "path",
        "by the path or a part of it",
        with_store![BY; SEGMENT, FIRST],
        Make::Keyed(make::path),
    ),
    ModeDefinition::new(
        "host",
        "by the host of the request",
        with_store![BY;],
        Make::Keyed(|_, _| Ok(SessionKey::host())),
    ),
    ModeDefinition::new(
        "first-of",
        "by the first of these parts of the request that is present",
        with_store![BY; KEY_COOKIE, KEY_HEADER, KEY_PATH, KEY_QUERY],
        Make::Keyed(|settings, _| make::several(settings, SessionKey::or)),
    ),
    ModeDefinition::new(
        "all-of",
        "by these parts of the request together; a request without one of them has no key",
        with_store![BY; HOST, KEY_COOKIE, KEY_HEADER, KEY_PATH, KEY_QUERY],
        Make::Keyed(|settings, _| make::several(settings, SessionKey::and)),
    ),
    ModeDefinition::new(
        "cookie",
        "by a cookie that the balancer sets",
        parameters![
            COOKIE_NAME,
            INDIRECT,
            NOCACHE,
            PRESERVE,
            POSTONLY,
            HTTPONLY,
            SECURE,
            DOMAIN,
            SAME_SITE,
            ATTRIBUTES,
            VALUES,
            NAMES,
            COOKIE_IDLE,
            COOKIE_LIFE,
            MAX_COOKIES,
            MAX_BYTES,
        ],
        Make::Cookie(CookieMode::Insert),
    ),
    ModeDefinition::new(
        "rewrite",
        "by a cookie that endpoints set, whose value the balancer replaces",
        OF_BACKEND_COOKIES,
        Make::Cookie(CookieMode::Rewrite),
    ),
    ModeDefinition::new(
        "prefix",
        "by a cookie that endpoints set and need; the balancer puts its own value in front",
        OF_BACKEND_COOKIES,
        Make::Cookie(CookieMode::Prefix),
    ),
    ModeDefinition::new(
        "learn",
        "by a key that a backend has set: requests with it go to that backend",
        with_store![BY_STORE; LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY],
        Make::Learn,
    ),
    ModeDefinition::new(
        "route",
        "by a part of what a backend has set, which is the endpoint's id (Tomcat's jvmRoute)",
        parameters![LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY, AFTER_FIRST, AFTER_LAST, WHOLE, MAX_KEY],
        Make::Route,
    ),
];
