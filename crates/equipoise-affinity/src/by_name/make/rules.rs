//! Which requests are bound, and which are forced.

use equipoise_tower::RequestHead;

use super::{Refusal, Settings};
use crate::{Affinity, learn::InvalidName, read};

pub(super) fn check(settings: &Settings<'_>) -> Result<(), Refusal> {
    if let Some(name) = settings.get_if_set::<String>("force-cookie")
        && !read::is_token(&name)
    {
        return Err(InvalidName::Cookie { name }.into());
    }
    match ignored(settings).into_iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(Refusal::NoPath { path }),
        None => Ok(()),
    }
}

pub(in crate::by_name) fn apply(settings: &Settings<'_>, mut affinity: Affinity) -> Affinity {
    if let Some(name) = settings.get_if_set::<String>("force-cookie") {
        affinity = affinity.force(move |head| read::cookie(head.headers, &name).is_some());
    }
    let ignored = ignored(settings);
    if !ignored.is_empty() {
        affinity = affinity.except(move |head: RequestHead<'_>| {
            ignored.iter().any(|begin| head.uri.path().starts_with(begin.as_str()))
        });
    }
    affinity
}

fn ignored(settings: &Settings<'_>) -> Vec<String> {
    settings.get_if_set("ignore-paths").unwrap_or_default()
}
