//! What backends set.

use std::num::NonZeroUsize;

use super::{Refusal, Settings};
use crate::learn::{Learn, Route};

/// Where backends set the key, and requests bring it.
pub(super) fn learn(settings: &Settings<'_>) -> Result<Learn, Refusal> {
    if settings.is_set("cookie") || settings.is_set("header") {
        places(settings)
    } else {
        Err(Refusal::NoPlace { places: "cookie or header, in which backends can set it" })
    }
}

/// Where requests bring the key.
pub(super) fn places(settings: &Settings<'_>) -> Result<Learn, Refusal> {
    let place = |parameter| settings.get_if_set::<String>(parameter);
    let mut learn = Learn::new();
    if let Some(name) = place("cookie") {
        learn = learn.cookie(name)?;
    }
    if let Some(name) = place("header") {
        learn = learn.header(name)?;
    }
    if let Some(name) = place("path-parameter") {
        learn = learn.path_parameter(name)?;
    }
    if let Some(name) = place("query") {
        learn = learn.query_parameter(name)?;
    }
    if let Some(longest) = NonZeroUsize::new(settings.get("longest")) {
        learn = learn.limit(longest);
    }
    Ok(learn)
}

pub(super) fn check_route(settings: &Settings<'_>) -> Result<(), Refusal> {
    if !["cookie", "header", "path-parameter", "query"].iter().any(|place| settings.is_set(place)) {
        return Err(Refusal::NoPlace { places: "cookie, header, path-parameter or query" });
    }
    let mut cuts = ["after-first", "after-last", "whole"].into_iter().filter(|cut| match *cut {
        "whole" => settings.flag("whole"),
        cut => settings.is_set(cut),
    });
    if let (Some(one), Some(other)) = (cuts.next(), cuts.next()) {
        return Err(Refusal::Together { one, other });
    }
    places(settings).map(drop)
}

pub(super) fn route(settings: &Settings<'_>) -> Route {
    let byte = |parameter| settings.get_if_set::<char>(parameter).and_then(|c| u8::try_from(c).ok());
    if settings.flag("whole") {
        return Route::Whole;
    }
    match (byte("after-last"), byte("after-first")) {
        (Some(byte), _) => Route::AfterLast(byte),
        (None, Some(byte)) => Route::AfterFirst(byte),
        (None, None) => Route::default(),
    }
}
