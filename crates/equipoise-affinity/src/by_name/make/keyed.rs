//! Keys that requests bring.

use equipoise_core::SourcePrefix;

use super::{
    super::{
        parameters::{
            APP_COOKIE_NAME, BY, FIRST, FORWARDED, HEADER_NAME, HOPS, HOST, KEY_COOKIE, KEY_HEADER, KEY_PATH,
            KEY_QUERY, MISSING, SEGMENT, TRUSTED, URL_NAME, V4, V6,
        },
        words::By,
    },
    BuildContext, InvalidModeSettings, Settings,
};
use crate::{
    Fallback,
    key::{InvalidSessionKey, SessionKey},
    source::{ClientAddress, ForwardedHeader, TrustedProxies},
};

type Made = Result<SessionKey, InvalidModeSettings>;

pub(super) fn check(settings: &Settings<'_>) -> Result<(), InvalidModeSettings> {
    if settings.get(&BY) == By::Table && settings.get(&MISSING) == Fallback::Refuse {
        return Err(InvalidModeSettings::RefusesAll);
    }
    Ok(())
}

pub(in crate::by_name) fn source(settings: &Settings<'_>, context: &BuildContext) -> Made {
    let trusted: TrustedProxies = settings.get(&TRUSTED).join(",").parse()?;
    let behind_some = trusted != TrustedProxies::none();
    let mut client = ClientAddress::behind(trusted);
    if let Some(name) = settings.get(&FORWARDED) {
        if !behind_some {
            let why = "the proxies whose header is trusted; other clients may write anything into it";
            return Err(InvalidModeSettings::Needs { setting: "header", parameter: "trusted", why });
        }
        client = client.header(forwarded(&name)?).max_hops(settings.get(&HOPS));
    } else if settings.is_set(&HOPS.parameter) {
        let why = "the header whose list has these elements";
        return Err(InvalidModeSettings::Needs { setting: "max-hops", parameter: "header", why });
    }
    if let Some(peer) = context.peer.clone() {
        client = client.peer(move |head| peer(head));
    }
    Ok(SessionKey::source(client, SourcePrefix::new(settings.get(&V4), settings.get(&V6))?))
}

fn forwarded(name: &str) -> Result<ForwardedHeader, InvalidModeSettings> {
    // Its error says what is wrong with a name.
    SessionKey::header(name)?;
    Ok(match name.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => ForwardedHeader::XForwardedFor,
        "forwarded" => ForwardedHeader::Forwarded,
        single => {
            ForwardedHeader::Single(single.parse().map_err(|_| InvalidSessionKey::Header { name: name.to_owned() })?)
        }
    })
}

pub(in crate::by_name) fn header(settings: &Settings<'_>, _: &BuildContext) -> Made {
    Ok(SessionKey::header(&settings.get(&HEADER_NAME))?)
}

pub(in crate::by_name) fn app_cookie(settings: &Settings<'_>, _: &BuildContext) -> Made {
    Ok(SessionKey::cookie(&settings.get(&APP_COOKIE_NAME))?)
}

pub(in crate::by_name) fn query(settings: &Settings<'_>, _: &BuildContext) -> Made {
    Ok(SessionKey::query_parameter(&settings.get(&URL_NAME))?)
}

pub(in crate::by_name) fn path_parameter(settings: &Settings<'_>, _: &BuildContext) -> Made {
    Ok(SessionKey::path_parameter(&settings.get(&URL_NAME))?)
}

pub(in crate::by_name) fn path(settings: &Settings<'_>, _: &BuildContext) -> Made {
    match (settings.get(&SEGMENT), settings.get(&FIRST)) {
        (Some(_), Some(_)) => Err(InvalidModeSettings::Together { one: "segment", other: "first" }),
        (Some(segment), None) => Ok(SessionKey::path_segment(segment)),
        (None, Some(segments)) => Ok(SessionKey::path_prefix(segments)?),
        (None, None) => Ok(SessionKey::path()),
    }
}

pub(in crate::by_name) fn host(_: &Settings<'_>, _: &BuildContext) -> Made {
    Ok(SessionKey::host())
}

pub(in crate::by_name) fn first_of(settings: &Settings<'_>, _: &BuildContext) -> Made {
    several(settings, SessionKey::or)
}

pub(in crate::by_name) fn all_of(settings: &Settings<'_>, _: &BuildContext) -> Made {
    several(settings, SessionKey::and)
}

fn several(settings: &Settings<'_>, join: fn(SessionKey, SessionKey) -> SessionKey) -> Made {
    type Named = fn(&str) -> Result<SessionKey, InvalidSessionKey>;
    let named: [(_, Named); 4] = [
        (&KEY_COOKIE, SessionKey::cookie),
        (&KEY_HEADER, SessionKey::header),
        (&KEY_PATH, SessionKey::path_parameter),
        (&KEY_QUERY, SessionKey::query_parameter),
    ];
    let mut keys = settings.get(&HOST).then(SessionKey::host);
    for (parameter, named) in named {
        if let Some(name) = settings.get(parameter) {
            let key = named(&name)?;
            keys = Some(match keys {
                Some(keys) => join(keys, key),
                None => key,
            });
        }
    }
    keys.ok_or(InvalidModeSettings::NoPlace { places: "cookie, header, path-parameter or query" })
}
