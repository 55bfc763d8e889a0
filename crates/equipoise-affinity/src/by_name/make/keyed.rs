//! What tells sessions: a part of the request.

use equipoise_core::SourcePrefix;

use super::{Means, Refusal, Settings};
use crate::{
    Fallback,
    key::{InvalidSessionKey, SessionKey},
    source::{ClientAddress, ForwardedHeader, TrustedProxies},
};

type Made = Result<SessionKey, Refusal>;

pub(super) fn check(settings: &Settings<'_>) -> Result<(), Refusal> {
    let missing: Fallback = settings.get("missing");
    match settings.get("by") {
        "table" if missing == Fallback::Refuse => Err(Refusal::NobodyGetsIn),
        _ => Ok(()),
    }
}

pub(in crate::by_name) fn source(settings: &Settings<'_>, means: &Means) -> Made {
    let trusted: Vec<String> = settings.get("trusted");
    let trusted: TrustedProxies = trusted.join(",").parse()?;
    let behind_some = trusted != TrustedProxies::none();
    let mut client = ClientAddress::behind(trusted);
    if let Some(name) = settings.get_if_set::<String>("header") {
        if !behind_some {
            let why = "the proxies that are believed; what anybody else writes into the header is not";
            return Err(Refusal::Needs { setting: "header", parameter: "trusted", why });
        }
        client = client.header(forwarded(&name)?).hops(settings.get("hops"));
    } else if settings.is_set("hops") {
        let why = "the one of whose list so many elements are looked at";
        return Err(Refusal::Needs { setting: "hops", parameter: "header", why });
    }
    if let Some(peer) = means.peer.clone() {
        client = client.peer(move |head| peer(head));
    }
    Ok(SessionKey::source(client, SourcePrefix::new(settings.get("v4"), settings.get("v6"))?))
}

fn forwarded(name: &str) -> Result<ForwardedHeader, Refusal> {
    // Also says what is wrong with a name.
    SessionKey::header(name)?;
    Ok(match name.to_ascii_lowercase().as_str() {
        "x-forwarded-for" => ForwardedHeader::XForwardedFor,
        "forwarded" => ForwardedHeader::Forwarded,
        single => {
            ForwardedHeader::Single(single.parse().map_err(|_| InvalidSessionKey::Header { name: name.to_owned() })?)
        }
    })
}

pub(in crate::by_name) fn header(settings: &Settings<'_>, _: &Means) -> Made {
    Ok(SessionKey::header(&settings.get::<String>("name"))?)
}

pub(in crate::by_name) fn app_cookie(settings: &Settings<'_>, _: &Means) -> Made {
    Ok(SessionKey::cookie(&settings.get::<String>("name"))?)
}

pub(in crate::by_name) fn query(settings: &Settings<'_>, _: &Means) -> Made {
    Ok(SessionKey::query_parameter(&settings.get::<String>("name"))?)
}

pub(in crate::by_name) fn path_parameter(settings: &Settings<'_>, _: &Means) -> Made {
    Ok(SessionKey::path_parameter(&settings.get::<String>("name"))?)
}

pub(in crate::by_name) fn path(settings: &Settings<'_>, _: &Means) -> Made {
    match (settings.get_if_set("segment"), settings.get_if_set("first")) {
        (Some(_), Some(_)) => Err(Refusal::Together { one: "segment", other: "first" }),
        (Some(segment), None) => Ok(SessionKey::path_segment(segment)),
        (None, Some(segments)) => Ok(SessionKey::path_prefix(segments)?),
        (None, None) => Ok(SessionKey::path()),
    }
}

pub(in crate::by_name) fn host(_: &Settings<'_>, _: &Means) -> Made {
    Ok(SessionKey::host())
}

pub(in crate::by_name) fn first_of(settings: &Settings<'_>, _: &Means) -> Made {
    several(settings, SessionKey::or)
}

pub(in crate::by_name) fn all_of(settings: &Settings<'_>, _: &Means) -> Made {
    several(settings, SessionKey::and)
}

fn several(settings: &Settings<'_>, join: fn(SessionKey, SessionKey) -> SessionKey) -> Made {
    type Named = fn(&str) -> Result<SessionKey, InvalidSessionKey>;
    let named: [(&str, Named); 4] = [
        ("cookie", SessionKey::cookie),
        ("header", SessionKey::header),
        ("path-parameter", SessionKey::path_parameter),
        ("query", SessionKey::query_parameter),
    ];
    let mut keys = settings.flag("host").then(SessionKey::host);
    for (parameter, named) in named {
        if let Some(name) = settings.get_if_set::<String>(parameter) {
            let key = named(&name)?;
            keys = Some(match keys {
                Some(keys) => join(keys, key),
                None => key,
            });
        }
    }
    keys.ok_or(Refusal::NoPlace { places: "cookie, header, path-parameter or query" })
}
