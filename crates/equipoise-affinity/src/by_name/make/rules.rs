//! Which requests are bound, and which are forced.

use equipoise_tower::RequestHead;

use super::{
    super::parameters::{FORCE, IGNORE},
    InvalidModeSettings, Settings,
};
use crate::{Affinity, learn::InvalidName, read};

pub(super) fn check(settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
    if let Some(name) = settings.get(&FORCE)
        && !read::is_token(&name)
    {
        return Err(InvalidName::Cookie { name }.into());
    }
    match settings.get(&IGNORE).into_iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(InvalidModeSettings::NoPath { path }),
        None => Ok(()),
    }
}

pub(in crate::by_name) fn apply(settings: &Settings<'_>, mut affinity: Affinity) -> Affinity {
    if let Some(name) = settings.get(&FORCE) {
        affinity = affinity.force(move |head| read::cookie(head.headers, &name).is_some());
    }
    let ignored = settings.get(&IGNORE);
    if !ignored.is_empty() {
        affinity = affinity.except(move |head: RequestHead<'_>| {
            ignored.iter().any(|begin| head.uri.path().starts_with(begin.as_str()))
        });
    }
    affinity
}
