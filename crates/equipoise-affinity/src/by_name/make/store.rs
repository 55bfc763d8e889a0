//! Where bindings are: `by=…`.

use std::{sync::Arc, time::Duration};

use super::{BuildError, Means, Refusal, Settings};
#[cfg(feature = "redis")]
use crate::redis::RedisStore;
use crate::{SessionStore, by_name::value::either, table::SessionTable};

/// Where sessions can be kept.
pub(in crate::by_name) const STORES: &[&str] = &[
    "table",
    #[cfg(feature = "redis")]
    "redis",
    "store",
];

/// The same, and nowhere: a hash places them.
pub(in crate::by_name) const KEYED: &[&str] = &[
    "hash",
    "table",
    #[cfg(feature = "redis")]
    "redis",
    "store",
];

/// Which parameters go with which ways; what is not here goes with all.
const FITS: &[(&str, &[&str])] = &[
    // A strategy that hashes passes over who cannot take a request by itself.
    ("unavailable", STORES),
    ("until-saturated", STORES),
    ("force-cookie", STORES),
    ("idle", &["table", "redis"]),
    ("life", &["table", "redis"]),
    ("sessions", &["table"]),
    ("url", &["redis"]),
    ("key-prefix", &["redis"]),
    ("near-ttl", &["redis"]),
    ("near-sessions", &["redis"]),
    ("lookup", &["redis", "store"]),
];

pub(super) fn check(settings: &Settings<'_>) -> Result<(), Refusal> {
    let by: &str = settings.get("by");
    for (parameter, ways) in FITS {
        if settings.is_set(parameter) && !ways.contains(&by) {
            return Err(fits(parameter, "by", by, ways.iter().copied().filter(|way| STORES.contains(way))));
        }
    }
    if by == "redis" {
        let needs = Refusal::Needs {
            setting: "by=redis",
            parameter: "url",
            why: "it says where the server is, such as redis://10.0.0.5:6379/0",
        };
        if has_secrets(&settings.get_if_set::<String>("url").ok_or(needs)?) {
            return Err(Refusal::Secret);
        }
    }
    Ok(())
}

/// A parameter that goes with other values of `setting` only.
pub(super) fn fits(
    parameter: &'static str,
    setting: &str,
    value: &str,
    with: impl Iterator<Item = &'static str>,
) -> Refusal {
    let fits: Vec<String> = with.map(|value| format!("{setting}={value}")).collect();
    let fits = either(fits.iter().map(String::as_str));
    Refusal::Unused { parameter, with: format!("{setting}={value}"), fits }
}

/// Whether a URL has a user or a password: `redis://user:password@host`, `redis+unix:///path?pass=password`.
fn has_secrets(url: &str) -> bool {
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (_, query) = rest.split_once('?').unwrap_or_default();
    authority.contains('@') || query.split(['&', '#']).any(|pair| pair.starts_with("pass") || pair.starts_with("user"))
}

pub(super) fn store(by: &str, settings: &Settings<'_>, means: &Means) -> Result<Arc<dyn SessionStore>, BuildError> {
    let idle: Option<Duration> = settings.get_if_set("idle");
    let life: Option<Duration> = settings.get_if_set("life");
    match by {
        "table" => {
            let table = SessionTable::builder().capacity(settings.get("sessions")).idle(idle).lifetime(life);
            Ok(Arc::new(table.build()?))
        }
        #[cfg(feature = "redis")]
        "redis" => {
            let mut redis = RedisStore::builder(&settings.get::<String>("url"))
                .prefix(settings.get::<String>("key-prefix"))
                .near_ttl(settings.get("near-ttl"))
                .near_capacity(settings.get("near-sessions"));
            if let Some(idle) = idle {
                redis = redis.idle_timeout(idle);
            }
            if let Some(life) = life {
                redis = redis.lifetime(life);
            }
            if let Some(longest) = settings.get_if_set("lookup") {
                redis = redis.lookup_timeout(longest);
            }
            if let Some(runtime) = means.runtime.clone() {
                redis = redis.runtime(runtime);
            }
            Ok(Arc::new(redis.build()?))
        }
        _ => means.store.clone().ok_or(BuildError::NoStore { mode: settings.mode() }),
    }
}
