//! The table of all modes and their names. Parsing a mode, writing it as text and listing the modes all use this table.

use super::{
    make::{self, Make},
    parameters::*,
};
use crate::{cookie::CookieMode, key::SessionKey};

/// All modes. A test checks that the defaults here are equal to the defaults of the builders.
pub(super) const ALL: &[ModeDefinition] = &[
    ModeDefinition::new("none", "no affinity: the strategy picks an endpoint for each request", &[], Make::None),
    ModeDefinition::new(
        "source",
        "identifies a session by the client's IP address or network",
        with_store![BY; V4, V6, TRUSTED, FORWARDED, HOPS],
        Make::Keyed(make::source),
    ),
    ModeDefinition::new(
        "header",
        "identifies a session by a header of the request",
        with_store![BY; HEADER_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::header(&settings.get(&HEADER_NAME))?)),
    ),
    ModeDefinition::new(
        "app-cookie",
        "identifies a session by a cookie of the application; the cookie is not changed",
        with_store![BY; APP_COOKIE_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::cookie(&settings.get(&APP_COOKIE_NAME))?)),
    ),
    ModeDefinition::new(
        "query",
        "identifies a session by a parameter of the URL's query",
        with_store![BY; URL_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::query_parameter(&settings.get(&URL_NAME))?)),
    ),
    ModeDefinition::new(
        "path-parameter",
        "identifies a session by a parameter of the URL's path, as in /shop;sid=3f9a/cart",
        with_store![BY; URL_NAME],
        Make::Keyed(|settings, _| Ok(SessionKey::path_parameter(&settings.get(&URL_NAME))?)),
    ),
    ModeDefinition::new(
        "path",
        "identifies a session by the URL's path or a part of it",
        with_store![BY; SEGMENT, FIRST],
        Make::Keyed(make::path),
    ),
    ModeDefinition::new(
        "host",
        "identifies a session by the host of the request",
        with_store![BY;],
        Make::Keyed(|_, _| Ok(SessionKey::host())),
    ),
    ModeDefinition::new(
        "first-of",
        "identifies a session by the first part of the request that is present: cookie, header, path-parameter, query",
        with_store![BY; KEY_COOKIE, KEY_HEADER, KEY_PATH, KEY_QUERY],
        Make::Keyed(|settings, _| make::several(settings, SessionKey::or)),
    ),
    ModeDefinition::new(
        "all-of",
        "identifies a session by several parts of the request together; a request that lacks one of them has no \
        session",
        with_store![BY; HOST, KEY_COOKIE, KEY_HEADER, KEY_PATH, KEY_QUERY],
        Make::Keyed(|settings, _| make::several(settings, SessionKey::and)),
    ),
    ModeDefinition::new(
        "cookie",
        "a cookie that the balancer sets names the session's endpoint",
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
            COOKIE_IDLE_TIMEOUT,
            LIFETIME,
            MAX_COOKIES,
            MAX_BYTES,
        ],
        Make::Cookie(CookieMode::Insert),
    ),
    ModeDefinition::new(
        "rewrite",
        "a cookie that endpoints set names the session's endpoint; the balancer replaces the cookie's value",
        OF_BACKEND_COOKIES,
        Make::Cookie(CookieMode::Rewrite),
    ),
    ModeDefinition::new(
        "prefix",
        "a cookie that endpoints set names the session's endpoint; the balancer puts a prefix before the cookie's \
        value",
        OF_BACKEND_COOKIES,
        Make::Cookie(CookieMode::Prefix),
    ),
    ModeDefinition::new(
        "learn",
        "a backend sets a session key in a response; requests with this key go to the same backend",
        with_store![BY_STORE; LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY],
        Make::Learn,
    ),
    ModeDefinition::new(
        "route",
        "a part of the session key that a backend sets is the endpoint's id (Tomcat's jvmRoute)",
        parameters![LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY, AFTER_FIRST, AFTER_LAST, WHOLE, MAX_KEY_LEN],
        Make::Route,
    ),
];
