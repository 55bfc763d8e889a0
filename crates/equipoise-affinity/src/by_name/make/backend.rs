//! Keys that backends set.

use std::num::NonZeroUsize;

use super::{
    super::parameters::{AFTER_FIRST, AFTER_LAST, LEARN_COOKIE, LEARN_HEADER, LEARN_PATH, LEARN_QUERY, MAX_KEY, WHOLE},
    InvalidModeSettings, Settings,
};
use crate::learn::{Learn, Route};

/// Where backends set the key, and requests bring it.
pub(super) fn learn(settings: &Settings<'_>) -> Result<Learn, InvalidModeSettings> {
    if settings.get(&LEARN_COOKIE).is_some() || settings.get(&LEARN_HEADER).is_some() {
        places(settings)
    } else {
        Err(InvalidModeSettings::NoPlace { places: "cookie or header, in which backends can set it" })
    }
}

/// Where requests bring the key.
pub(super) fn places(settings: &Settings<'_>) -> Result<Learn, InvalidModeSettings> {
    let mut learn = Learn::new();
    if let Some(name) = settings.get(&LEARN_COOKIE) {
        learn = learn.cookie(name)?;
    }
    if let Some(name) = settings.get(&LEARN_HEADER) {
        learn = learn.header(name)?;
    }
    if let Some(name) = settings.get(&LEARN_PATH) {
        learn = learn.path_parameter(name)?;
    }
    if let Some(name) = settings.get(&LEARN_QUERY) {
        learn = learn.query_parameter(name)?;
    }
    if let Some(longest) = NonZeroUsize::new(settings.get(&MAX_KEY)) {
        learn = learn.max_key_len(longest);
    }
    Ok(learn)
}

pub(super) fn check_route(settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
    if [&LEARN_COOKIE, &LEARN_HEADER, &LEARN_PATH, &LEARN_QUERY].iter().all(|place| settings.get(*place).is_none()) {
        return Err(InvalidModeSettings::NoPlace { places: "cookie, header, path-parameter or query" });
    }
    let cuts = [
        (settings.is_set(&AFTER_FIRST.parameter), AFTER_FIRST.parameter.name()),
        (settings.is_set(&AFTER_LAST.parameter), AFTER_LAST.parameter.name()),
        (settings.get(&WHOLE), WHOLE.parameter.name()),
    ];
    let mut cuts = cuts.into_iter().filter_map(|(set, name)| set.then_some(name));
    if let (Some(one), Some(other)) = (cuts.next(), cuts.next()) {
        return Err(InvalidModeSettings::Together { one, other });
    }
    places(settings).map(drop)
}

pub(super) fn route(settings: &Settings<'_>) -> Route {
    if settings.get(&WHOLE) {
        return Route::Whole;
    }
    // Values of this kind are ASCII.
    match settings.get(&AFTER_LAST) {
        Some(character) => Route::AfterLast(character as u8),
        None => Route::AfterFirst(settings.get(&AFTER_FIRST) as u8),
    }
}
