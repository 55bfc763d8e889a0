//! The parameters of modes, and the words that are values of parameters. Parameters of the same name may have different
//! defaults or meanings in different modes.

use std::{collections::BTreeMap, time::Duration};

use equipoise_core::spec::{Definition, InvalidText, Kind, Param, ParamBuilder, Parameter, Setting, Value};

use crate::OnUnavailable;

/// A marker type without values. It selects the modes of session affinity in the generic types of
/// [`equipoise_core::spec`]. For example, [`ModeDefinition`] is `Definition<Modes>`: the definition of a mode, and not
/// of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {}

/// The definition of a mode of session affinity: the mode's name, a description and its parameters.
pub type ModeDefinition = Definition<Modes>;

/// Why a text is not a valid mode of session affinity.
pub type InvalidAffinity = InvalidText<Modes>;

pub(super) type Settings<'a> = equipoise_core::spec::Settings<'a, Modes>;

// Values that are one of a few words.

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[cfg($cfg:meta)])? $variant:ident = $word:literal,)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub(super) enum $name {
                $($(#[cfg($cfg)])? $variant,)*
            }

            impl $name {
                pub(super) const ALL: &'static [Self] = &[$($(#[cfg($cfg)])? Self::$variant,)*];
                pub(super) const WORDS: &'static [&'static str] = &[$($(#[cfg($cfg)])? $word,)*];

                pub(super) fn word(self) -> &'static str {
                    Self::WORDS[self as usize]
                }
            }

            impl Setting for $name {
                type Preset = Self;

                fn read(value: &Value) -> Option<Self> {
                    Self::ALL.iter().copied().find(|known| *value == Value::Choice(known.word()))
                }

                fn from_preset(preset: Self) -> Self {
                    preset
                }
            }
        )*
    };
}

words! {
    /// Where the endpoint of each session is stored. With `hash`, it is not stored: a hashing strategy computes it.
    By {
        Hash = "hash",
        Table = "table",
        #[cfg(feature = "redis")]
        Redis = "redis",
        Store = "store",
    }
    /// How a cookie names an endpoint.
    Naming {
        Token = "token",
        Id = "id",
        Name = "name",
        Dynamic = "dynamic",
    }
    /// Whether browsers send a cookie with requests from other sites.
    SameSite {
        Strict = "Strict",
        Lax = "Lax",
        None = "None",
    }
}

impl By {
    /// The values for session stores: all but `hash`.
    pub(super) const STORES: &'static [Self] = Self::ALL.split_at(1).1;
    const STORE_WORDS: &'static [&'static str] = Self::WORDS.split_at(1).1;
}

pub(super) const ON_UNAVAILABLE: Kind = Kind::ChoiceOrTimed {
    words: &["rebind", "refuse"],
    timed: "wait",
    from: Duration::from_millis(1),
    to: Duration::from_secs(3600),
};

// The type of values of the kind `ON_UNAVAILABLE`.
impl Setting for OnUnavailable {
    type Preset = Self;

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Choice("rebind") => Some(Self::Rebind),
            Value::Choice("refuse") => Some(Self::Refuse),
            Value::Timed("wait", max_wait) => Some(Self::Wait(*max_wait)),
            _ => None,
        }
    }

    fn from_preset(preset: Self) -> Self {
        preset
    }
}

/// A parameter whose value is a text, or which is not set.
type Text = Param<Option<String>>;

/// The maximum time that a store in Redis accepts: ten years.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A time after which a session ends. At least one second, because cookies contain whole seconds.
const fn session_time(name: &'static str, about: &'static str) -> ParamBuilder<Duration> {
    Param::time(name, about).range(Duration::from_secs(1), MAX_TIME)
}

// What happens to requests, for all modes but `none`.

pub(super) const MISSING: Param<OnUnavailable> = ParamBuilder::new(
    "missing",
    ON_UNAVAILABLE,
    "what happens to a request without a binding (rebind: the strategy picks an endpoint; refuse: the request fails; \
     wait: the request waits up to this time for an endpoint)",
)
.preset("rebind", OnUnavailable::Rebind);
pub(super) const UNAVAILABLE: Param<OnUnavailable> = ParamBuilder::new(
    "unavailable",
    ON_UNAVAILABLE,
    "what happens to a request whose endpoint cannot serve it (rebind: another endpoint serves it; refuse: it fails; \
     wait: it waits up to this time for its endpoint)",
)
.preset("rebind", OnUnavailable::Rebind);
pub(super) const MAX_SHARE: Param<Option<f64>> = Param::real(
    "max-share",
    "the maximum load of a session's endpoint, as a multiple of its fair share of the requests in flight; above it, \
     other endpoints serve the session's requests",
)
.range(1.0, 100.0)
.otherwise("no maximum", "1.25");
pub(super) const FORCE_COOKIE: Text = Param::text(
    "force-cookie",
    "a cookie's name; a request with this cookie goes to its endpoint even if that is unhealthy or in maintenance \
     (HAProxy's force-persist)",
)
.otherwise("no cookie", "maintenance");
pub(super) const IGNORE_PATHS: Param<Vec<String>> = Param::list(
    "ignore-paths",
    "the beginnings of paths; a request whose path begins with one of them is not bound to an endpoint (HAProxy's \
     ignore-persist)",
);
pub(super) const MAX_KEY_LEN: Param<usize> =
    Param::<usize>::number("max-key-len", "the maximum length of a session key in bytes; a longer key is ignored")
        .range(1, 65_535)
        .default("4096");

// Where the bindings of sessions are stored.

const BY_NOTE: &str = if cfg!(feature = "redis") {
    ""
} else {
    " (the feature affinity-redis of equipoise, or redis of equipoise-affinity, adds redis)"
};
pub(super) const BY: Param<By> = ParamBuilder::new(
    "by",
    Kind::Choice(By::WORDS),
    "where the endpoints of sessions are stored (hash: nowhere, a hashing strategy computes them; table: in memory; \
     redis: in Redis; store: in the session store of the build context)",
)
.note(BY_NOTE)
.preset("table", By::Table);
pub(super) const BY_STORE: Param<By> = ParamBuilder::new(
    "by",
    Kind::Choice(By::STORE_WORDS),
    "where the endpoints of sessions are stored (table: in memory; redis: in Redis; store: in the session store of \
     the build context)",
)
.note(BY_NOTE)
.preset("table", By::Table);
pub(super) const IDLE_TIMEOUT: Param<Duration> =
    session_time("idle-timeout", "how long a session lasts after its last request").default("30m");
pub(super) const LIFETIME: Param<Option<Duration>> =
    session_time("lifetime", "how long a session lasts after it was first bound, even if it has requests")
        .otherwise("no limit", "8h");
pub(super) const CAPACITY: Param<usize> =
    Param::<usize>::number("capacity", "the maximum number of sessions in the table")
        .range(1, 1 << 30)
        .default("100000");
#[cfg(feature = "redis")]
pub(super) const URL: Text = Param::text("url", "the URL of the Redis server, without user and password")
    .secret()
    .otherwise("none; by=redis needs a URL", "redis://10.0.0.5:6379/0");
#[cfg(feature = "redis")]
pub(super) const KEY_PREFIX: Param<String> = Param::text(
    "key-prefix",
    "the prefix of the entries in Redis: empty, or a text that ends with a colon; balancers that share sessions need \
     the same prefix, and each pool needs its own",
)
.default("equipoise:");
#[cfg(feature = "redis")]
pub(super) const CACHE_TTL: Param<Duration> =
    Param::time("cache-ttl", "how long an entry of the local cache is used without asking Redis")
        .range(Duration::ZERO, MAX_TIME)
        .default("1s");
#[cfg(feature = "redis")]
pub(super) const CACHE_CAPACITY: Param<usize> = Param::<usize>::number(
    "cache-capacity",
    "the maximum number of sessions in the local cache; these sessions stay bound while Redis is unreachable",
)
.range(1, 1 << 28)
.default("65536");
pub(super) const LOOKUP_TIMEOUT: Param<Option<Duration>> = Param::time(
    "lookup-timeout",
    "how long a request waits for the session store; after this time, it continues without a binding",
)
.range(Duration::from_millis(1), Duration::from_secs(60))
.otherwise("100ms, or 50ms for Redis", "50ms");

/// The parameters of one mode, followed by the parameters of all modes except `none`.
macro_rules! parameters {
    ($($(#[$attribute:meta])* $own:ident),* $(,)?) => {
        &[
            $($(#[$attribute])* $own.parameter,)*
            MISSING.parameter,
            UNAVAILABLE.parameter,
            MAX_SHARE.parameter,
            FORCE_COOKIE.parameter,
            IGNORE_PATHS.parameter,
        ]
    };
}

/// The parameters of a mode with a session store. `$by` is the parameter that selects the store.
macro_rules! with_store {
    ($by:ident; $($own:ident),*) => {
        parameters![
            $($own,)* $by, IDLE_TIMEOUT, LIFETIME, CAPACITY, #[cfg(feature = "redis")] URL,
            #[cfg(feature = "redis")] KEY_PREFIX, #[cfg(feature = "redis")] CACHE_TTL,
            #[cfg(feature = "redis")] CACHE_CAPACITY, LOOKUP_TIMEOUT, MAX_KEY_LEN
        ]
    };
}
pub(super) use {parameters, with_store};

// Session keys in requests.

pub(super) const V4: Param<u8> =
    Param::<u8>::number("v4", "the number of leading bits of an IPv4 address that identify the client")
        .range(0, 32)
        .default("32");
pub(super) const V6: Param<u8> =
    Param::<u8>::number("v6", "the number of leading bits of an IPv6 address that identify the client")
        .range(0, 128)
        .default("64");
pub(super) const TRUSTED: Param<Vec<String>> = Param::list(
    "trusted",
    "the proxies whose reports of the client's address are trusted: addresses, networks, private, loopback or \
     link-local",
);
pub(super) const FORWARDED: Text = Param::text(
    "header",
    "the header in which the trusted proxies report the client's address: x-forwarded-for, forwarded, or a header \
     with a single address, such as x-real-ip",
)
.otherwise("no header is read", "x-forwarded-for");
pub(super) const HOPS: Param<usize> =
    Param::<usize>::number("max-hops", "the maximum number of elements of the header that are read, from the right")
        .range(1, 1024)
        .default("32");
pub(super) const SEGMENT: Param<Option<usize>> = Param::<usize>::number(
    "segment",
    "the number of the path segment that identifies the session, from 0: in /tenants/acme/users, segment 1 is acme",
)
.range(0, 1024)
.otherwise("the whole path counts", "1");
pub(super) const FIRST: Param<Option<usize>> = Param::<usize>::number(
    "first",
    "the number of leading path segments that identify the session: the first 2 of /tenants/acme/users are \
     /tenants/acme",
)
.range(1, 1024)
.otherwise("the whole path counts", "2");
pub(super) const HEADER_NAME: Param<String> = Param::text("name", "the name of the header").required("x-session");
pub(super) const APP_COOKIE_NAME: Param<String> = Param::text("name", "the name of the cookie").required("sid");
pub(super) const URL_NAME: Param<String> =
    Param::text("name", "the name of the parameter, as it is written in the URL").required("sid");
pub(super) const HOST: Param<bool> = Param::flag("host", "whether the host of the request is used");

const NOT_USED: &str = "none";
pub(super) const KEY_COOKIE: Text =
    Param::text("cookie", "the name of a cookie of the application whose value is used; the cookie is not changed")
        .otherwise(NOT_USED, "sid");
pub(super) const KEY_HEADER: Text =
    Param::text("header", "the name of a header whose value is used").otherwise(NOT_USED, "x-session");
pub(super) const KEY_PATH: Text = Param::text(
    "path-parameter",
    "the name of a path parameter whose value is used, such as sid in /shop;sid=3f9a/cart",
)
.otherwise(NOT_USED, "sid");
pub(super) const KEY_QUERY: Text =
    Param::text("query", "the name of a query parameter whose value is used").otherwise(NOT_USED, "sid");

// Cookies.

pub(super) const COOKIE_NAME: Param<String> = Param::text("name", "the name of the cookie").required("SRV");
pub(super) const INDIRECT: Param<bool> =
    Param::flag("indirect", "whether the cookie is removed from requests, so that endpoints do not see it");
pub(super) const NOCACHE: Param<bool> =
    Param::flag("nocache", "whether shared caches are forbidden to store responses that set the cookie");
pub(super) const PRESERVE: Param<bool> = Param::flag(
    "preserve",
    "whether a cookie with the same name that an endpoint sets is kept; the balancer then sets no cookie",
);
pub(super) const POSTONLY: Param<bool> =
    Param::flag("postonly", "whether the cookie is set only in responses to POST requests");
pub(super) const HTTPONLY: Param<bool> =
    Param::flag("httponly", "whether the cookie has the attribute HttpOnly, so that scripts cannot read it");
pub(super) const SECURE: Param<bool> =
    Param::flag("secure", "whether the cookie has the attribute Secure, so that browsers send it over TLS only");
pub(super) const DOMAIN: Text = Param::text("domain", "the domain to which browsers send the cookie")
    .otherwise("only the host that set the cookie", ".example.com");
pub(super) const SAME_SITE: Param<Option<SameSite>> = ParamBuilder::<SameSite>::new(
    "same-site",
    Kind::Choice(SameSite::WORDS),
    "the attribute SameSite: whether browsers send the cookie with requests from other sites; None needs secure",
)
.otherwise("the browser's default, usually Lax", "Lax");
pub(super) const ATTRIBUTES: Param<Vec<String>> =
    Param::list("attributes", "more attributes of the cookie, written as in Set-Cookie, such as \"Priority=High\"");
pub(super) const VALUES: Param<Naming> = ParamBuilder::new(
    "values",
    Kind::Choice(Naming::WORDS),
    "how the cookie names an endpoint (token: by an authenticated token; id: by its id; name: by its name in names; \
     dynamic: by a hash of its address, as HAProxy's dynamic)",
)
.preset("token", Naming::Token);
pub(super) const NAMES: Param<Option<BTreeMap<String, String>>> = ParamBuilder::<BTreeMap<String, String>>::new(
    "names",
    Kind::TextsByName,
    "the name of each endpoint in the cookie, by the endpoint's id",
)
.otherwise("none; values=name needs names", "{10.0.0.1:80=A, 10.0.0.2:80=B}");
pub(super) const COOKIE_IDLE_TIMEOUT: Param<Option<Duration>> =
    session_time("idle-timeout", "how long a cookie is valid after its last use; an older cookie is ignored")
        .otherwise("no limit", "30m");
pub(super) const MAX_COOKIES: Param<usize> = Param::<usize>::number(
    "max-cookies",
    "the maximum number of cookies with this name in a request; a request with more has no binding",
)
.range(1, 1024)
.default("16");
pub(super) const MAX_BYTES: Param<usize> = Param::<usize>::number(
    "max-bytes",
    "the maximum length of all Cookie headers of a request in bytes; a request with more has no binding",
)
.range(1, 1 << 24)
.default("65536");

/// The parameters of the modes whose cookie the endpoints set.
pub(super) const OF_BACKEND_COOKIES: &[Parameter] =
    parameters![COOKIE_NAME, NOCACHE, VALUES, NAMES, COOKIE_IDLE_TIMEOUT, LIFETIME, MAX_COOKIES, MAX_BYTES];

// Session keys that backends set.

pub(super) const LEARN_COOKIE: Text =
    Param::text("cookie", "the name of the cookie in which backends set the session key")
        .otherwise(NOT_USED, "JSESSIONID");
pub(super) const LEARN_HEADER: Text = Param::text(
    "header",
    "the name of the header in which backends set the session key; used if a request does not have the cookie",
)
.otherwise(NOT_USED, "mcp-session-id");
pub(super) const LEARN_PATH: Text = Param::text(
    "path-parameter",
    "the name of the path parameter in which requests have the session key; used if a request has neither the cookie \
     nor the header",
)
.otherwise(NOT_USED, "jsessionid");
pub(super) const LEARN_QUERY: Text = Param::text(
    "query",
    "the name of the query parameter in which requests have the session key; used if a request has none of the others",
)
.otherwise(NOT_USED, "PHPSESSID");
pub(super) const AFTER_FIRST: Param<char> = ParamBuilder::new(
    "after-first",
    Kind::Character,
    "the separator in the session key: the text after its first occurrence is the endpoint's id",
)
.preset(".", '.');
pub(super) const AFTER_LAST: Param<Option<char>> = ParamBuilder::<char>::new(
    "after-last",
    Kind::Character,
    "the separator in the session key: the text after its last occurrence is the endpoint's id",
)
.otherwise("after-first is used", "\"!\"");
pub(super) const WHOLE: Param<bool> = Param::flag("whole", "whether the whole session key is the endpoint's id");
