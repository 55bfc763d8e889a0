use std::time::Duration;

use equipoise::{
    MissReason,
    affinity::{
        AffinityOutcome, OnUnavailable, StoreError, UnboundReason,
        cookie::{CookieAction, CookieMatch, CookieMode, CookieOutcome},
        key::Extracted,
        learn::{Learned, Route},
        source::ForwardedHeader,
        token::{InvalidToken, TokenSession},
    },
};

use super::check;

#[test]
fn labels_of_sessions_are_unique_and_snake_case() {
    let session = TokenSession::start(std::time::SystemTime::UNIX_EPOCH);
    let tokens = [
        InvalidToken::Malformed,
        InvalidToken::UnknownKey { kid: 0 },
        InvalidToken::Forged,
        InvalidToken::KeyExpired { kid: 0 },
        InvalidToken::Stale,
        InvalidToken::UnknownEndpoint { session },
    ];
    check(tokens.iter().map(InvalidToken::as_str));
    let reasons = [
        UnboundReason::Off,
        UnboundReason::Absent,
        UnboundReason::Oversized,
        UnboundReason::Unknown,
        UnboundReason::Expired,
        UnboundReason::StoreUnavailable,
        UnboundReason::StoreMalformed,
    ];
    let reasons: Vec<_> = reasons.into_iter().chain(tokens.map(UnboundReason::Token)).collect();
    check(reasons.iter().map(UnboundReason::as_str));
    let (reason, id) = (MissReason::Full, || "a".into());
    let outcomes = [
        AffinityOutcome::Unbound(UnboundReason::Absent),
        AffinityOutcome::New(UnboundReason::Absent),
        AffinityOutcome::Kept,
        AffinityOutcome::Moved { from: id(), reason },
        AffinityOutcome::Diverted { bound_to: id(), reason },
        AffinityOutcome::Keyed,
    ];
    check(outcomes.iter().map(AffinityOutcome::as_str));
    check(
        [OnUnavailable::Rebind, OnUnavailable::Refuse, OnUnavailable::Wait(Duration::ZERO)].map(OnUnavailable::as_str),
    );
    let reason = String::new;
    let errors = [StoreError::Unavailable { reason: reason() }, StoreError::Malformed { reason: reason() }];
    check(errors.iter().map(StoreError::as_str));
}

#[test]
fn labels_of_cookies_and_keys_are_unique_and_snake_case() {
    check([CookieMode::Insert, CookieMode::Rewrite, CookieMode::Prefix].map(CookieMode::as_str));
    check([CookieMatch::Endpoint(()), CookieMatch::Down, CookieMatch::Unknown].iter().map(CookieMatch::as_str));
    let outcomes = [
        CookieOutcome::Absent,
        CookieOutcome::Valid,
        CookieOutcome::Down,
        CookieOutcome::Invalid,
        CookieOutcome::Expired,
        CookieOutcome::Old,
        CookieOutcome::Disregarded,
        CookieOutcome::TooMany,
        CookieOutcome::TooLong,
    ];
    check(outcomes.map(CookieOutcome::as_str));
    let actions = [
        CookieAction::Nothing,
        CookieAction::Found,
        CookieAction::Deleted,
        CookieAction::Replaced,
        CookieAction::Inserted,
        CookieAction::Updated,
    ];
    check(actions.map(CookieAction::as_str));
    check([Extracted::Found(b"a".into()), Extracted::Absent, Extracted::Oversized].iter().map(Extracted::as_str));
    check([Learned::Key(b"a"), Learned::Ended, Learned::Nothing].map(Learned::as_str));
    check([Route::AfterFirst(b'.'), Route::AfterLast(b'.'), Route::Whole].map(Route::as_str));
    let single = ForwardedHeader::Single(http::HeaderName::from_static("x-real-ip"));
    let headers = [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded, single];
    check(headers.iter().map(ForwardedHeader::as_str));
}
