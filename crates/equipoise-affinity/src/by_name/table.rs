//! Every mode by name: what is parsed, written and listed follows from here.

use std::time::Duration;

use super::{
    Definition, Kind, Parameter, Preset,
    make::{self, Make},
};
use crate::cookie::CookieMode;

/// A parameter with a default.
const fn parameter(name: &'static str, kind: Kind, preset: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, preset: Preset::Is(preset), example: preset, about }
}

/// A parameter that has to be set.
const fn required(name: &'static str, kind: Kind, example: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, preset: Preset::Required, example, about }
}

/// A parameter that may be left open, and then something else holds.
const fn open(
    name: &'static str,
    kind: Kind,
    otherwise: &'static str,
    example: &'static str,
    about: &'static str,
) -> Parameter {
    Parameter { name, kind, preset: Preset::Otherwise(otherwise), example, about }
}

/// A flag that is off.
const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind: Kind::Flag, preset: Preset::Is("false"), example: "true", about }
}

/// Ten years, which is what stores in Redis take.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Ends of sessions: whole seconds count in cookies.
const SPAN: Kind = Kind::Time { from: Duration::from_secs(1), to: LONGEST };

const MISSING: Parameter = parameter(
    "missing",
    Kind::Fallback,
    "rebind",
    "what happens to a request that has no binding: the strategy picks, it fails, or it waits for somebody",
);
const UNAVAILABLE: Parameter = parameter(
    "unavailable",
    Kind::Fallback,
    "rebind",
    "what happens to a request whose endpoint cannot take it: it moves, it fails, or it waits for the endpoint",
);
const UNTIL: Parameter = open(
    "until-saturated",
    Kind::Real { from: 1, to: 100 },
    "stays, however much its endpoint has to do",
    "1.25",
    "an endpoint with so many times its share in flight is left for the moment",
);
const LONGEST_KEY: Parameter = parameter(
    "longest",
    Kind::Number { from: 1, to: 65_535 },
    "4096",
    "how many bytes a key may have; a longer one is none",
);
const IDLE: Parameter = parameter("idle", SPAN, "30m", "how long a session lasts without being used");
const LIFE: Parameter =
    open("life", SPAN, "without end", "8h", "how long a session lasts since it was bound, used or not");
const SESSIONS: Parameter =
    parameter("sessions", Kind::Number { from: 1, to: 1 << 30 }, "100000", "how many sessions the table holds");
#[cfg(feature = "redis")]
const URL: Parameter = open(
    "url",
    Kind::Text,
    "none, which by=redis does not take",
    "redis://10.0.0.5:6379/0",
    "where the server is, without user and password",
);
#[cfg(feature = "redis")]
const KEY_PREFIX: Parameter = parameter(
    "key-prefix",
    Kind::Text,
    "equipoise:",
    "what keys in Redis begin with: the same for balancers that share sessions, another one for each pool",
);
#[cfg(feature = "redis")]
const NEAR_TTL: Parameter = parameter(
    "near-ttl",
    Kind::Time { from: Duration::ZERO, to: LONGEST },
    "1s",
    "how long the near-cache answers for the server",
);
#[cfg(feature = "redis")]
const NEAR_SESSIONS: Parameter = parameter(
    "near-sessions",
    Kind::Number { from: 1, to: 1 << 28 },
    "65536",
    "how many sessions the near-cache holds, which are those that last through an outage",
);
const LOOKUP: Parameter = open(
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
        ]
    };
}

const BY: Parameter = parameter(
    "by",
    Kind::Choice(make::KEYED),
    "table",
    "hash: a hashing strategy places it, and nothing is kept; table, redis: kept there; store: in the one handed over",
);
const BY_STORE: Parameter = parameter(
    "by",
    Kind::Choice(make::STORES),
    "table",
    "where sessions are kept: in a table here, in Redis, in the store that is handed over",
);

const COOKIE_NAME: Parameter = required("name", Kind::Text, "SRV", "the cookie's name");
const NOCACHE: Parameter = flag("nocache", "forbids shared caches to keep answers that set the cookie");
const VALUES: Parameter = parameter(
    "values",
    Kind::Choice(&["token", "id", "name", "dynamic"]),
    "token",
    "what names an endpoint: an authenticated token, its id, a name of names, a hash of its address (HAProxy's dynamic)",
);
const NAMES: Parameter = open(
    "names",
    Kind::Names,
    "none, which values=name does not take",
    "{10.0.0.1:80=A, 10.0.0.2:80=B}",
    "what each endpoint is called in the cookie, by its id",
);
const COOKIE_IDLE: Parameter =
    open("idle", SPAN, "without end", "30m", "a cookie that was not brought for so long names nobody");
const COOKIE_LIFE: Parameter = open("life", SPAN, "without end", "8h", "a session that has lasted so long ends");
const MOST_COOKIES: Parameter = parameter(
    "most-cookies",
    Kind::Number { from: 1, to: 1024 },
    "16",
    "how many cookies of the name are looked at; a request with more is unbound",
);
const MOST_BYTES: Parameter = parameter(
    "most-bytes",
    Kind::Number { from: 1, to: 1 << 24 },
    "65536",
    "how many bytes of cookies are looked at; a request with more is unbound",
);
/// Of cookies that endpoints set.
const TAKES_PART: &[Parameter] = &[
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
];

const LEARN_COOKIE: Parameter =
    open("cookie", Kind::Text, "none is looked at", "JSESSIONID", "the cookie that backends set");
const LEARN_HEADER: Parameter = open(
    "header",
    Kind::Text,
    "none is looked at",
    "mcp-session-id",
    "the header that backends set; looked at if there is no such cookie",
);
const LEARN_PATH: Parameter = open(
    "path-parameter",
    Kind::Text,
    "none is looked at",
    "jsessionid",
    "the parameter of the path that requests bring without either",
);
const LEARN_QUERY: Parameter = open(
    "query",
    Kind::Text,
    "none is looked at",
    "PHPSESSID",
    "the parameter of the query that requests bring without any of these",
);

/// A test compares the presets with the builders' defaults.
pub(super) const ALL: &[Definition] = &[
    Definition {
        name: "none",
        about: "no affinity: every request goes where the strategy says",
        parameters: &[],
        make: Make::None,
    },
    Definition {
        name: "source",
        about: "by the client's address, or its network",
        parameters: with_store![
            BY;
            parameter("v4", Kind::Number { from: 0, to: 32 }, "32", "how many bits of an IPv4 address count"),
            parameter("v6", Kind::Number { from: 0, to: 128 }, "64", "how many bits of an IPv6 address count"),
            parameter(
                "trusted",
                Kind::List,
                "{}",
                "the proxies that are believed: networks, addresses, private, loopback, link-local",
            ),
            open(
                "header",
                Kind::Text,
                "none is believed",
                "x-forwarded-for",
                "in which they say it: x-forwarded-for, forwarded, or one with a single address, such as x-real-ip",
            ),
            parameter(
                "hops",
                Kind::Number { from: 1, to: 1024 },
                "32",
                "how many elements of the header are looked at, from the right",
            ),
        ],
        make: Make::Keyed(make::source),
    },
    Definition {
        name: "header",
        about: "by a header of the request",
        parameters: with_store![BY; required("name", Kind::Text, "x-session", "the header's name")],
        make: Make::Keyed(make::header),
    },
    Definition {
        name: "app-cookie",
        about: "by a cookie of the application, which is left as it is",
        parameters: with_store![BY; required("name", Kind::Text, "sid", "the cookie's name")],
        make: Make::Keyed(make::app_cookie),
    },
    Definition {
        name: "query",
        about: "by a parameter of the query",
        parameters: with_store![BY; required("name", Kind::Text, "sid", "the parameter's name, as it stands in URLs")],
        make: Make::Keyed(make::query),
    },
    Definition {
        name: "path-parameter",
        about: "by a parameter of the path, as in /shop;sid=3f9a/cart",
        parameters: with_store![BY; required("name", Kind::Text, "sid", "the parameter's name, as it stands in URLs")],
        make: Make::Keyed(make::path_parameter),
    },
    Definition {
        name: "path",
        about: "by the path or a part of it",
        parameters: with_store![
            BY;
            open(
                "segment",
                Kind::Number { from: 0, to: 1024 },
                "the whole path counts",
                "1",
                "which segment counts, from 0: 1 is acme in /tenants/acme/users",
            ),
            open(
                "first",
                Kind::Number { from: 1, to: 1024 },
                "the whole path counts",
                "2",
                "how many segments count: the first 2 of /tenants/acme/users are /tenants/acme",
            ),
        ],
        make: Make::Keyed(make::path),
    },
    Definition {
        name: "host",
        about: "by the host that was asked for",
        parameters: with_store![BY;],
        make: Make::Keyed(make::host),
    },
    Definition {
        name: "cookie",
        about: "by a cookie that the balancer sets",
        parameters: &[
            COOKIE_NAME,
            flag("indirect", "endpoints do not see the cookie"),
            NOCACHE,
            flag("preserve", "leaves alone what endpoints set by that name, and sets nothing then"),
            flag("postonly", "sets the cookie in answers to POST only"),
            flag("httponly", "scripts cannot read the cookie"),
            flag("secure", "the cookie is sent over TLS only"),
            open("domain", Kind::Text, "the host's alone", ".example.com", "the domain that the cookie is sent to"),
            open(
                "same-site",
                Kind::Choice(&["Strict", "Lax", "None"]),
                "what browsers do without, which is Lax",
                "Lax",
                "whether the cookie is sent with requests from other sites; None needs secure",
            ),
            parameter(
                "attributes",
                Kind::List,
                "{}",
                "more attributes of the cookie as they stand: {Priority=High} in quotes",
            ),
            VALUES,
            NAMES,
            COOKIE_IDLE,
            COOKIE_LIFE,
            MOST_COOKIES,
            MOST_BYTES,
            MISSING,
            UNAVAILABLE,
            UNTIL,
        ],
        make: Make::Cookie(CookieMode::Insert),
    },
    Definition {
        name: "rewrite",
        about: "by a cookie that endpoints set, whose value the balancer replaces",
        parameters: TAKES_PART,
        make: Make::Cookie(CookieMode::Rewrite),
    },
    Definition {
        name: "prefix",
        about: "by a cookie that endpoints set and need, in front of whose value the balancer puts its own",
        parameters: TAKES_PART,
        make: Make::Cookie(CookieMode::Prefix),
    },
    Definition {
        name: "learn",
        about: "by what a backend has set: whoever brings it goes to that backend",
        parameters: with_store![BY_STORE; LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY],
        make: Make::Learn,
    },
    Definition {
        name: "route",
        about: "by a part of what a backend has set, which is the endpoint's id (Tomcat's jvmRoute)",
        parameters: &[
            LEARN_COOKIE,
            LEARN_HEADER,
            LEARN_PATH,
            LEARN_QUERY,
            parameter("after-first", Kind::Character, ".", "the id is what follows the first of these characters"),
            open("after-last", Kind::Character, "the first counts", "!", "the id is what follows the last of these"),
            flag("whole", "all of it is the id"),
            LONGEST_KEY,
            MISSING,
            UNAVAILABLE,
            UNTIL,
        ],
        make: Make::Route,
    },
];
