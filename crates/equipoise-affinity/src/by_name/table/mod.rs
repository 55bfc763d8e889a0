//! Every mode by name: what is parsed, written and listed follows from here.

mod parameters;

use self::parameters::{
    BY, BY_STORE, COOKIE_IDLE, COOKIE_LIFE, COOKIE_NAME, FORCE, IDLE, IGNORE, KEY_COOKIE, KEY_HEADER, KEY_PATH,
    KEY_QUERY, LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY, LIFE, LONGEST_KEY, LOOKUP, MISSING, MOST_BYTES,
    MOST_COOKIES, NAMES, NOCACHE, SESSIONS, TAKES_PART, UNAVAILABLE, UNTIL, VALUES, flag, open, parameter, required,
    with_store,
};
#[cfg(feature = "redis")]
use self::parameters::{KEY_PREFIX, NEAR_SESSIONS, NEAR_TTL, URL};
use super::{
    Definition, Kind,
    make::{self, Make},
};
use crate::cookie::CookieMode;

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
        name: "first-of",
        about: "by the first of these parts of the request that is there",
        parameters: with_store![BY; KEY_COOKIE, KEY_HEADER, KEY_PATH, KEY_QUERY],
        make: Make::Keyed(make::first_of),
    },
    Definition {
        name: "all-of",
        about: "by these parts of the request together; a request without one of them has no key",
        parameters: with_store![
            BY;
            flag("host", "the host that was asked for"),
            KEY_COOKIE,
            KEY_HEADER,
            KEY_PATH,
            KEY_QUERY,
        ],
        make: Make::Keyed(make::all_of),
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
                "more attributes of the cookie as they stand, such as \"Priority=High\"",
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
            FORCE,
            IGNORE,
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
            open(
                "after-last",
                Kind::Character,
                "the first counts",
                "\"!\"",
                "the id is what follows the last of these",
            ),
            flag("whole", "all of it is the id"),
            LONGEST_KEY,
            MISSING,
            UNAVAILABLE,
            UNTIL,
            FORCE,
            IGNORE,
        ],
        make: Make::Route,
    },
];
