//! The session keys of modes. This module builds the keys that requests have, and the keys that backends set, from the
//! parameters of the mode.

use std::num::NonZeroUsize;

use equipoise_core::SourcePrefix;

use super::super::{context::BuildContext, error::InvalidModeSettings, parameters::*};
use crate::{
    key::{InvalidSessionKey, SessionKey},
    learn::{Learn, Route},
    source::{ClientAddress, ForwardedHeader, TrustedProxies},
};

type Made = Result<SessionKey, InvalidModeSettings>;

pub(in super::super) fn source(settings: &Settings<'_>, context: &BuildContext) -> Made {
    let trusted: TrustedProxies = settings.get(&TRUSTED).join(",").parse()?;
    let behind_some = trusted != TrustedProxies::none();
    let mut client = ClientAddress::behind(trusted);
    if let Some(name) = settings.get(&FORWARDED) {
        if !behind_some {
            let reason = "the addresses of the proxies that set it, because any other client can set it too";
            return Err(InvalidModeSettings::Needs { setting: "header", parameter: "trusted", reason });
        }
        client = client.header(forwarded(&name)?).max_hops(settings.get(&HOPS));
    } else if settings.is_set(&HOPS.parameter) {
        let reason = "the name of the header whose elements it limits";
        return Err(InvalidModeSettings::Needs { setting: "max-hops", parameter: "header", reason });
    }
    if let Some(peer) = context.peer.clone() {
        client = client.peer(move |head| peer(head));
    }
    Ok(SessionKey::source(client, SourcePrefix::new(settings.get(&V4), settings.get(&V6))?))
}

fn forwarded(name: &str) -> Result<ForwardedHeader, InvalidModeSettings> {
    // Only for the error, which says what is wrong with the name.
    SessionKey::header(name)?;
    Ok(match name.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => ForwardedHeader::XForwardedFor,
        "forwarded" => ForwardedHeader::Forwarded,
        single => {
            ForwardedHeader::Single(single.parse().map_err(|_| InvalidSessionKey::Header { name: name.to_owned() })?)
        }
    })
}

pub(in super::super) fn path(settings: &Settings<'_>, _: &BuildContext) -> Made {
    match (settings.get(&SEGMENT), settings.get(&FIRST)) {
        (Some(_), Some(_)) => Err(InvalidModeSettings::Together { one: "segment", other: "first" }),
        (Some(segment), None) => Ok(SessionKey::path_segment(segment)),
        (None, Some(segments)) => Ok(SessionKey::path_prefix(segments)?),
        (None, None) => Ok(SessionKey::path()),
    }
}

/// Builds the keys that the parameters name, and joins them in the order of the parameters.
pub(in super::super) fn several(settings: &Settings<'_>, join: fn(SessionKey, SessionKey) -> SessionKey) -> Made {
    type Named = fn(&str) -> Result<SessionKey, InvalidSessionKey>;
    let named: [(_, Named); 4] = [
        (&KEY_COOKIE, SessionKey::cookie),
        (&KEY_HEADER, SessionKey::header),
        (&KEY_PATH, SessionKey::path_parameter),
        (&KEY_QUERY, SessionKey::query_parameter),
    ];
    let host = settings.get(&HOST).then(|| Ok(SessionKey::host()));
    let named = named.into_iter().filter_map(|(parameter, named)| Some(named(&settings.get(parameter)?)));
    let keys = host.into_iter().chain(named).collect::<Result<Vec<_>, _>>()?;
    let parameters = "cookie, header, path-parameter or query";
    keys.into_iter().reduce(join).ok_or(InvalidModeSettings::NoKeySource { parameters })
}

/// Builds the description of where backends set the key and where requests have it.
pub(super) fn learned(settings: &Settings<'_>) -> Result<Learn, InvalidModeSettings> {
    if settings.get(&LEARN_COOKIE).is_none() && settings.get(&LEARN_HEADER).is_none() {
        return Err(InvalidModeSettings::NoKeySource { parameters: "cookie or header, in which backends can set it" });
    }
    brought(settings)
}

/// Builds the description of where requests have the key that a backend has set.
pub(super) fn brought(settings: &Settings<'_>) -> Result<Learn, InvalidModeSettings> {
    type Named = fn(Learn, String) -> Result<Learn, crate::learn::InvalidName>;
    let named: [(_, Named); 4] = [
        (&LEARN_COOKIE, |learn, name| learn.cookie(name)),
        (&LEARN_HEADER, |learn, name| learn.header(name)),
        (&LEARN_PATH, |learn, name| learn.path_parameter(name)),
        (&LEARN_QUERY, |learn, name| learn.query_parameter(name)),
    ];
    let mut learn = Learn::new();
    for (parameter, named) in named {
        if let Some(name) = settings.get(parameter) {
            learn = named(learn, name)?;
        }
    }
    Ok(match NonZeroUsize::new(settings.get(&MAX_KEY_LEN)) {
        Some(max_len) => learn.max_key_len(max_len),
        None => learn,
    })
}

pub(super) fn check_route(settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
    if [&LEARN_COOKIE, &LEARN_HEADER, &LEARN_PATH, &LEARN_QUERY].iter().all(|place| settings.get(*place).is_none()) {
        return Err(InvalidModeSettings::NoKeySource { parameters: "cookie, header, path-parameter or query" });
    }
    let cuts = [
        (settings.is_set(&AFTER_FIRST.parameter), AFTER_FIRST.parameter.name()),
        (settings.is_set(&AFTER_LAST.parameter), AFTER_LAST.parameter.name()),
        (settings.get(&WHOLE), WHOLE.parameter.name()),
    ];
    let mut set = cuts.into_iter().filter_map(|(is_set, name)| is_set.then_some(name));
    if let (Some(one), Some(other)) = (set.next(), set.next()) {
        return Err(InvalidModeSettings::Together { one, other });
    }
    brought(settings).map(drop)
}

pub(super) fn route(settings: &Settings<'_>) -> Route {
    // Values of this kind are ASCII.
    match settings.get(&AFTER_LAST) {
        _ if settings.get(&WHOLE) => Route::Whole,
        Some(character) => Route::AfterLast(character as u8),
        None => Route::AfterFirst(settings.get(&AFTER_FIRST) as u8),
    }
}
