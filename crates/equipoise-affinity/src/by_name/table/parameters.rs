//! Parameters that several modes have.

use std::time::Duration;

use crate::by_name::{Kind, Parameter, Preset, make};

/// A parameter with a default.
pub(super) const fn parameter(name: &'static str, kind: Kind, preset: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, preset: Preset::Is(preset), example: preset, about }
}

/// A parameter that has to be set.
pub(super) const fn required(name: &'static str, kind: Kind, example: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, preset: Preset::Required, example, about }
}

/// A parameter that may be left open, and then something else holds.
pub(super) const fn open(
    name: &'static str,
    kind: Kind,
    otherwise: &'static str,
    example: &'static str,
    about: &'static str,
) -> Parameter {
    Parameter { name, kind, preset: Preset::Otherwise(otherwise), example, about }
}

/// A flag that is off.
pub(super) const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Flag, preset: Preset::Is("false"), example: "true", about }
}

/// Ten years, which is what stores in Redis take.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Ends of sessions: whole seconds count in cookies.
const SPAN: Kind = Kind::Time { from: Duration::from_secs(1), to: LONGEST };

pub(super) const MISSING: Parameter = parameter(
    "missing",
    Kind::Fallback,
    "rebind",
    "what happens to a request that has no binding: the strategy picks, it fails, or it waits for somebody",
);
pub(super) const UNAVAILABLE: Parameter = parameter(
    "unavailable",
    Kind::Fallback,
    "rebind",
    "what happens to a request whose endpoint cannot take it: it moves, it fails, or it waits for the endpoint",
);
pub(super) const UNTIL: Parameter = open(
    "until-saturated",
    Kind::Real { from: 1, to: 100 },
    "stays, however much its endpoint has to do",
    "1.25",
    "an endpoint with so many times its share in flight is left for the moment",
);
pub(super) const FORCE: Parameter = open(
    "force-cookie",
    Kind::Text,
    "no request is forced",
    "maintenance",
    "a request with this cookie goes to its endpoint in whatever state that is: HAProxy's force-persist",
);
pub(super) const IGNORE: Parameter = parameter(
    "ignore-paths",
    Kind::List,
    "{}",
    "requests whose path begins with one of these are not bound: HAProxy's ignore-persist",
);
pub(super) const LONGEST_KEY: Parameter = parameter(
    "longest",
    Kind::Number { from: 1, to: 65_535 },
    "4096",
    "how many bytes a key may have; a longer one is none",
);
pub(super) const IDLE: Parameter = parameter("idle", SPAN, "30m", "how long a session lasts without being used");
pub(super) const LIFE: Parameter =
    open("life", SPAN, "without end", "8h", "how long a session lasts since it was bound, used or not");
pub(super) const SESSIONS: Parameter =
    parameter("sessions", Kind::Number { from: 1, to: 1 << 30 }, "100000", "how many sessions the table holds");
#[cfg(feature = "redis")]
pub(super) const URL: Parameter = open(
    "url",
    Kind::Text,
    "none, which by=redis does not take",
    "redis://10.0.0.5:6379/0",
    "where the server is, without user and password",
);
#[cfg(feature = "redis")]
pub(super) const KEY_PREFIX: Parameter = parameter(
    "key-prefix",
    Kind::Text,
    "equipoise:",
    "what keys in Redis begin with, up to a colon: the same for balancers that share sessions, another for each pool",
);
#[cfg(feature = "redis")]
pub(super) const NEAR_TTL: Parameter = parameter(
    "near-ttl",
    Kind::Time { from: Duration::ZERO, to: LONGEST },
    "1s",
    "how long the near-cache answers for the server",
);
#[cfg(feature = "redis")]
pub(super) const NEAR_SESSIONS: Parameter = parameter(
    "near-sessions",
    Kind::Number { from: 1, to: 1 << 28 },
    "65536",
    "how many sessions the near-cache holds, which are those that last through an outage",
);
pub(super) const LOOKUP: Parameter = open(
    "lookup",
    Kind::Time { from: Duration::from_millis(1), to: Duration::from_secs(60) },
    "100ms, of which Redis has 50ms",
    "50ms",
    "how long a request waits for the store; one that takes longer is away",
);

/// A mode's own parameters, and those of stores; `by` says which there are.
macro_rules! with_store {
    ($by:expr; $($own:expr),* $(,)?) => {
        &[
            $($own,)*
            $by,
            IDLE,
            LIFE,
            SESSIONS,
            #[cfg(feature = "redis")]
            URL,
            #[cfg(feature = "redis")]
            KEY_PREFIX,
            #[cfg(feature = "redis")]
            NEAR_TTL,
            #[cfg(feature = "redis")]
            NEAR_SESSIONS,
            LOOKUP,
            LONGEST_KEY,
            MISSING,
            UNAVAILABLE,
            UNTIL,
            FORCE,
            IGNORE,
        ]
    };
}

pub(super) const BY: Parameter = parameter(
    "by",
    Kind::Choice(make::KEYED),
    "table",
    "hash: a hashing strategy places it, and nothing is kept; table, redis: kept there; store: in the one handed over",
);
pub(super) const BY_STORE: Parameter = parameter(
    "by",
    Kind::Choice(make::STORES),
    "table",
    "where sessions are kept: in a table here, in Redis, in the store that is handed over",
);

pub(super) const COOKIE_NAME: Parameter = required("name", Kind::Text, "SRV", "the cookie's name");
pub(super) const NOCACHE: Parameter = flag("nocache", "forbids shared caches to keep answers that set the cookie");
pub(super) const VALUES: Parameter = parameter(
    "values",
    Kind::Choice(&["token", "id", "name", "dynamic"]),
    "token",
    "what names an endpoint: an authenticated token, its id, a name of names, a hash of its address (HAProxy's dynamic)",
);
pub(super) const NAMES: Parameter = open(
    "names",
    Kind::Names,
    "none, which values=name does not take",
    "{10.0.0.1:80=A, 10.0.0.2:80=B}",
    "what each endpoint is called in the cookie, by its id",
);
pub(super) const COOKIE_IDLE: Parameter =
    open("idle", SPAN, "without end", "30m", "a cookie that was not brought for so long names nobody");
pub(super) const COOKIE_LIFE: Parameter =
    open("life", SPAN, "without end", "8h", "a session that has lasted so long ends");
pub(super) const MOST_COOKIES: Parameter = parameter(
    "most-cookies",
    Kind::Number { from: 1, to: 1024 },
    "16",
    "how many cookies of the name are looked at; a request with more is unbound",
);
pub(super) const MOST_BYTES: Parameter = parameter(
    "most-bytes",
    Kind::Number { from: 1, to: 1 << 24 },
    "65536",
    "how many bytes of cookies are looked at; a request with more is unbound",
);
/// Of cookies that endpoints set.
pub(super) const TAKES_PART: &[Parameter] = &[
    COOKIE_NAME,
    NOCACHE,
    VALUES,
    NAMES,
    COOKIE_IDLE,
    COOKIE_LIFE,
    MOST_COOKIES,
    MOST_BYTES,
    MISSING,
    UNAVAILABLE,
    UNTIL,
    FORCE,
    IGNORE,
];

const NOT_LOOKED_AT: &str = "none is looked at";
pub(super) const KEY_COOKIE: Parameter =
    open("cookie", Kind::Text, NOT_LOOKED_AT, "sid", "a cookie of the application, which is left as it is");
pub(super) const KEY_HEADER: Parameter = open("header", Kind::Text, NOT_LOOKED_AT, "x-session", "a header");
pub(super) const KEY_PATH: Parameter =
    open("path-parameter", Kind::Text, NOT_LOOKED_AT, "sid", "a parameter of the path, as in /shop;sid=3f9a/cart");
pub(super) const KEY_QUERY: Parameter = open("query", Kind::Text, NOT_LOOKED_AT, "sid", "a parameter of the query");

pub(super) const LEARN_COOKIE: Parameter =
    open("cookie", Kind::Text, NOT_LOOKED_AT, "JSESSIONID", "the cookie that backends set");
pub(super) const LEARN_HEADER: Parameter = open(
    "header",
    Kind::Text,
    NOT_LOOKED_AT,
    "mcp-session-id",
    "the header that backends set; looked at if there is no such cookie",
);
pub(super) const LEARN_PATH: Parameter = open(
    "path-parameter",
    Kind::Text,
    NOT_LOOKED_AT,
    "jsessionid",
    "the parameter of the path that requests bring without either",
);
pub(super) const LEARN_QUERY: Parameter = open(
    "query",
    Kind::Text,
    NOT_LOOKED_AT,
    "PHPSESSID",
    "the parameter of the query that requests bring without any of these",
);

pub(super) use with_store;
