//! The parameters of modes and their words. Parameters of the same name differ between groups of modes in their default or meaning.

use std::{collections::BTreeMap, time::Duration};

use equipoise_core::spec::{Definition, InvalidText, Kind, Param, ParamBuilder, Parameter, Setting, Value};

use crate::Fallback;

/// The vocabulary of modes: marks their definitions and errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {}

/// The definition of a mode: its name and its parameters.
pub type ModeDefinition = Definition<Modes>;

/// Why a text is no mode of affinity.
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
    /// Where bindings are kept.
    By {
        Hash = "hash",
        Table = "table",
        #[cfg(feature = "redis")]
        Redis = "redis",
        Store = "store",
    }
    /// What names an endpoint in a cookie.
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
    /// The session stores: all but `hash`.
    pub(super) const STORES: &'static [Self] = Self::ALL.split_at(1).1;
    const STORE_WORDS: &'static [&'static str] = Self::WORDS.split_at(1).1;
}

pub(super) const FALLBACK: Kind = Kind::ChoiceOrTimed {
    words: &["rebind", "refuse"],
    timed: "wait",
    from: Duration::from_millis(1),
    to: Duration::from_secs(3600),
};

// Of the kind `FALLBACK`.
impl Setting for Fallback {
    type Preset = Self;

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Choice("rebind") => Some(Self::Rebind),
            Value::Choice("refuse") => Some(Self::Refuse),
            Value::Timed("wait", longest) => Some(Self::Wait(*longest)),
            _ => None,
        }
    }

    fn from_preset(preset: Self) -> Self {
        preset
    }
}

/// A text that may be left out.
type Text = Param<Option<String>>;

/// Ten years: the longest time that stores in Redis take.
const MAX_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// When a session ends. Cookies count whole seconds.
const fn session_time(name: &'static str, about: &'static str) -> ParamBuilder<Duration> {
    Param::time(name, about).range(Duration::from_secs(1), MAX_TIME)
}

// What happens to requests, for all modes but `none`.

pub(super) const MISSING: Param<Fallback> = ParamBuilder::new(
    "missing",
    FALLBACK,
    "what happens to a request without a binding: the strategy picks, it fails, or it waits for an endpoint",
)
.preset("rebind", Fallback::Rebind);
pub(super) const UNAVAILABLE: Param<Fallback> = ParamBuilder::new(
    "unavailable",
    FALLBACK,
    "what happens to a request whose endpoint cannot accept it: it moves, it fails, or it waits for the endpoint",
)
.preset("rebind", Fallback::Rebind);
pub(super) const UNTIL: Param<Option<f64>> =
    Param::real("max-share", "a request goes elsewhere while its endpoint has this many times its share in flight")
        .range(1.0, 100.0)
        .otherwise("stays, whatever the load of its endpoint", "1.25");
pub(super) const FORCE: Text = Param::text(
    "force-cookie",
    "a request with this cookie goes to its endpoint in any availability: HAProxy's force-persist",
)
.otherwise("no request is forced", "maintenance");
pub(super) const IGNORE: Param<Vec<String>> =
    Param::list("ignore-paths", "requests whose path begins with one of these are not bound: HAProxy's ignore-persist");
pub(super) const MAX_KEY: Param<usize> =
    Param::<usize>::number("max-key-len", "how many bytes a key may have; a longer one is ignored")
        .range(1, 65_535)
        .default("4096");

// Where sessions are kept.

const BY_NOTE: &str = if cfg!(feature = "redis") { "" } else { " (feature redis adds redis)" };
pub(super) const BY: Param<By> = ParamBuilder::new(
    "by",
    Kind::Choice(By::WORDS),
    "hash: a hashing strategy places sessions, and nothing is kept; table: kept here; redis: kept in Redis; store: kept \
     in the store of the build context",
)
.note(BY_NOTE)
.preset("table", By::Table);
pub(super) const BY_STORE: Param<By> = ParamBuilder::new(
    "by",
    Kind::Choice(By::STORE_WORDS),
    "where sessions are kept: in a table here, in Redis, or in the store of the build context",
)
.note(BY_NOTE)
.preset("table", By::Table);
pub(super) const IDLE: Param<Duration> =
    session_time("idle-timeout", "how long a session lasts without requests").default("30m");
pub(super) const LIFE: Param<Option<Duration>> =
    session_time("lifetime", "how long a session lasts after it was bound, with or without requests")
        .otherwise("no limit", "8h");
pub(super) const SESSIONS: Param<usize> =
    Param::<usize>::number("capacity", "how many sessions the table holds").range(1, 1 << 30).default("100000");
#[cfg(feature = "redis")]
pub(super) const URL: Text = Param::text("url", "the address of the Redis server, without user and password")
    .secret()
    .otherwise("none, which by=redis refuses", "redis://10.0.0.5:6379/0");
#[cfg(feature = "redis")]
pub(super) const KEY_PREFIX: Param<String> = Param::text(
    "key-prefix",
    "what keys in Redis begin with, up to a colon: the same for balancers that share sessions, another for each pool",
)
.default("equipoise:");
#[cfg(feature = "redis")]
pub(super) const NEAR_TTL: Param<Duration> =
    Param::time("cache-ttl", "how long the local cache answers in place of the server")
        .range(Duration::ZERO, MAX_TIME)
        .default("1s");
#[cfg(feature = "redis")]
pub(super) const NEAR_SESSIONS: Param<usize> = Param::<usize>::number(
    "cache-capacity",
    "how many sessions the local cache holds; these stay bound while the server is unreachable",
)
.range(1, 1 << 28)
.default("65536");
pub(super) const LOOKUP: Param<Option<Duration>> =
    Param::time("lookup-timeout", "how long a request waits for the store; a slower store counts as unreachable")
        .range(Duration::from_millis(1), Duration::from_secs(60))
        .otherwise("100ms, of which Redis has 50ms", "50ms");

/// A mode's own parameters, and those that all modes have but `none`.
macro_rules! parameters {
    ($($(#[$attribute:meta])* $own:ident),* $(,)?) => {
        &[
            $($(#[$attribute])* $own.parameter,)*
            MISSING.parameter,
            UNAVAILABLE.parameter,
            UNTIL.parameter,
            FORCE.parameter,
            IGNORE.parameter,
        ]
    };
}

/// The same for modes with a store. `$by` says which stores there are.
macro_rules! with_store {
    ($by:ident; $($own:ident),*) => {
        parameters![
            $($own,)* $by, IDLE, LIFE, SESSIONS, #[cfg(feature = "redis")] URL, #[cfg(feature = "redis")] KEY_PREFIX,
            #[cfg(feature = "redis")] NEAR_TTL, #[cfg(feature = "redis")] NEAR_SESSIONS, LOOKUP, MAX_KEY
        ]
    };
}
pub(super) use {parameters, with_store};

// Keys that requests bring.

pub(super) const V4: Param<u8> =
    Param::<u8>::number("v4", "how many bits of an IPv4 address count").range(0, 32).default("32");
pub(super) const V6: Param<u8> =
    Param::<u8>::number("v6", "how many bits of an IPv6 address count").range(0, 128).default("64");
pub(super) const TRUSTED: Param<Vec<String>> =
    Param::list("trusted", "the proxies that are trusted: networks, addresses, private, loopback, link-local");
pub(super) const FORWARDED: Text = Param::text(
    "header",
    "the header in which they give the client's address: x-forwarded-for, forwarded, or one with a single address, such \
     as x-real-ip",
)
.otherwise("no header is trusted", "x-forwarded-for");
pub(super) const HOPS: Param<usize> =
    Param::<usize>::number("max-hops", "how many elements of the header are looked at, from the right")
        .range(1, 1024)
        .default("32");
pub(super) const SEGMENT: Param<Option<usize>> =
    Param::<usize>::number("segment", "which segment counts, from 0: 1 is acme in /tenants/acme/users")
        .range(0, 1024)
        .otherwise("the whole path counts", "1");
pub(super) const FIRST: Param<Option<usize>> =
    Param::<usize>::number("first", "how many segments count: the first 2 of /tenants/acme/users are /tenants/acme")
        .range(1, 1024)
        .otherwise("the whole path counts", "2");
pub(super) const HEADER_NAME: Param<String> = Param::text("name", "the header's name").required("x-session");
pub(super) const APP_COOKIE_NAME: Param<String> = Param::text("name", "the cookie's name").required("sid");
pub(super) const URL_NAME: Param<String> =
    Param::text("name", "the parameter's name, as it is written in URLs").required("sid");
pub(super) const HOST: Param<bool> = Param::flag("host", "the host of the request");

const NOT_USED: &str = "none is used";
pub(super) const KEY_COOKIE: Text =
    Param::text("cookie", "a cookie of the application, which is left unchanged").otherwise(NOT_USED, "sid");
pub(super) const KEY_HEADER: Text = Param::text("header", "a header").otherwise(NOT_USED, "x-session");
pub(super) const KEY_PATH: Text =
    Param::text("path-parameter", "a parameter of the path, as in /shop;sid=3f9a/cart").otherwise(NOT_USED, "sid");
pub(super) const KEY_QUERY: Text = Param::text("query", "a parameter of the query").otherwise(NOT_USED, "sid");

// Cookies.

pub(super) const COOKIE_NAME: Param<String> = Param::text("name", "the cookie's name").required("SRV");
pub(super) const INDIRECT: Param<bool> = Param::flag("indirect", "endpoints do not see the cookie");
pub(super) const NOCACHE: Param<bool> =
    Param::flag("nocache", "forbids shared caches to store responses that set the cookie");
pub(super) const PRESERVE: Param<bool> =
    Param::flag("preserve", "a cookie of that name that an endpoint sets is kept, and no other is set");
pub(super) const POSTONLY: Param<bool> = Param::flag("postonly", "sets the cookie in responses to POST only");
pub(super) const HTTPONLY: Param<bool> = Param::flag("httponly", "scripts cannot read the cookie");
pub(super) const SECURE: Param<bool> = Param::flag("secure", "the cookie is sent over TLS only");
pub(super) const DOMAIN: Text =
    Param::text("domain", "the domain that the cookie is sent to").otherwise("the host alone", ".example.com");
pub(super) const SAME_SITE: Param<Option<SameSite>> = ParamBuilder::<SameSite>::new(
    "same-site",
    Kind::Choice(SameSite::WORDS),
    "whether the cookie is sent with requests from other sites; None needs secure",
)
.otherwise("the browser's default, which is Lax", "Lax");
pub(super) const ATTRIBUTES: Param<Vec<String>> =
    Param::list("attributes", "more attributes of the cookie as they are sent, such as \"Priority=High\"");
pub(super) const VALUES: Param<Naming> = ParamBuilder::new(
    "values",
    Kind::Choice(Naming::WORDS),
    "what names an endpoint: an authenticated token, its id, a name of names, a hash of its address (HAProxy's dynamic)",
)
.preset("token", Naming::Token);
pub(super) const NAMES: Param<Option<BTreeMap<String, String>>> = ParamBuilder::<BTreeMap<String, String>>::new(
    "names",
    Kind::TextsByName,
    "the name of each endpoint in the cookie, by its id",
)
.otherwise("none, which values=name refuses", "{10.0.0.1:80=A, 10.0.0.2:80=B}");
pub(super) const COOKIE_IDLE: Param<Option<Duration>> =
    session_time("max-idle", "a cookie that was not sent for this long is ignored").otherwise("no limit", "30m");
pub(super) const COOKIE_LIFE: Param<Option<Duration>> =
    session_time("max-life", "a session ends this long after it was bound").otherwise("no limit", "8h");
pub(super) const MAX_COOKIES: Param<usize> =
    Param::<usize>::number("max-cookies", "how many cookies of the name are read; a request with more is unbound")
        .range(1, 1024)
        .default("16");
pub(super) const MAX_BYTES: Param<usize> =
    Param::<usize>::number("max-bytes", "how many bytes of cookies are read; a request with more is unbound")
        .range(1, 1 << 24)
        .default("65536");

/// Of cookies that endpoints set.
pub(super) const OF_BACKEND_COOKIES: &[Parameter] =
    parameters![COOKIE_NAME, NOCACHE, VALUES, NAMES, COOKIE_IDLE, COOKIE_LIFE, MAX_COOKIES, MAX_BYTES];

// Keys that backends set.

pub(super) const LEARN_COOKIE: Text =
    Param::text("cookie", "the cookie that backends set").otherwise(NOT_USED, "JSESSIONID");
pub(super) const LEARN_HEADER: Text =
    Param::text("header", "the header that backends set; used if there is no such cookie")
        .otherwise(NOT_USED, "mcp-session-id");
pub(super) const LEARN_PATH: Text =
    Param::text("path-parameter", "the parameter of the path; used if there is neither cookie nor header")
        .otherwise(NOT_USED, "jsessionid");
pub(super) const LEARN_QUERY: Text =
    Param::text("query", "the parameter of the query; used if there is none of the others")
        .otherwise(NOT_USED, "PHPSESSID");
pub(super) const AFTER_FIRST: Param<char> =
    ParamBuilder::new("after-first", Kind::Character, "the id is what follows the first of these characters")
        .preset(".", '.');
pub(super) const AFTER_LAST: Param<Option<char>> =
    ParamBuilder::<char>::new("after-last", Kind::Character, "the id is what follows the last of these characters")
        .otherwise("the first counts", "\"!\"");
pub(super) const WHOLE: Param<bool> = Param::flag("whole", "the whole text is the id");
