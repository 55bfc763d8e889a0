use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_core::EndpointId;
use proptest::prelude::*;

use super::{format::Body, format::token_time, *};

const IDLE: Option<Duration> = Some(Duration::from_secs(1000));

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn key(kid: u8) -> TokenKey {
    TokenKey::new(kid, [kid; 32]).unwrap()
}

fn id(name: &str) -> EndpointId {
    name.into()
}

fn tokens(ring: KeyRing) -> Tokens {
    let tokens = Tokens::new(ring, "srv");
    tokens.members([id("a"), id("b")]);
    tokens
}

/// Tokens that another implementation (Python's `hmac`) computed from the table in the docs of the module.
#[test]
fn the_format_is_that_of_other_versions() {
    struct Vector<'a> {
        kid: u8,
        secret: &'a [u8],
        context: &'a str,
        endpoint: &'a str,
        session: TokenSession,
        issued_at: u32,
        text: &'a str,
    }
    let counting: Vec<u8> = (0..32).collect();
    let vectors = [
        Vector {
            kid: 7,
            secret: &counting,
            context: "srv",
            endpoint: "10.0.0.1:8080",
            session: TokenSession { nonce: [0, 1, 2, 3, 4, 5, 6, 7], began: 1_700_000_000 },
            issued_at: 1_700_000_600,
            text: "AQdlU_EAZVPzWAABAgMEBQYHCzi2d9iZvBxQs-v0edbE7cPXPsfIaAPJ",
        },
        Vector {
            kid: 255,
            secret: &[b'k'; 16],
            context: "",
            endpoint: "a",
            session: TokenSession { nonce: [255; 8], began: 0 },
            issued_at: u32::MAX,
            text: "Af8AAAAA________________1kFxjITh1tQmFGinPHoKPH7L3JHtUzgR",
        },
        Vector {
            kid: 0,
            secret: &[b'x'; 100],
            context: "SERVERID",
            endpoint: "knöten",
            session: TokenSession { nonce: [0; 8], began: 1 },
            issued_at: 2,
            text: "AQAAAAABAAAAAgAAAAAAAAAAGryIHPcoeqiL7RCm4FFgm2w-G7Z9zRjI",
        },
    ];
    for vector in vectors {
        let tokens = Tokens::new(KeyRing::new(TokenKey::new(vector.kid, vector.secret).unwrap()), vector.context);
        tokens.members([id(vector.endpoint)]);
        let now = at(vector.issued_at.into());
        assert_eq!(tokens.issue(id(vector.endpoint), Some(vector.session), now).unwrap(), vector.text);
        let token = tokens.read(vector.text.as_bytes(), now, None, None).unwrap();
        assert_eq!(token.endpoint(), &id(vector.endpoint));
        assert_eq!(token.session(), vector.session);
        assert_eq!(token.issued_at(), now);
    }
}

#[test]
fn a_token_names_no_endpoint() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("10.0.0.1:8080"), None, at(0)).unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text).unwrap();
    assert!(!bytes.windows(4).any(|part| part == [10, 0, 0, 1] || part == b"10.0"));
}

#[test]
fn session_keys_are_unique_and_survive_each_new_token() {
    let tokens = tokens(KeyRing::new(key(1)));
    let first = tokens.issue(id("a"), None, at(100)).unwrap();
    let other = tokens.issue(id("a"), None, at(100)).unwrap();
    let session = tokens.read(first.as_bytes(), at(100), None, None).unwrap().session();
    assert_ne!(session.key(), tokens.read(other.as_bytes(), at(100), None, None).unwrap().session().key());

    let moved = tokens.issue(id("b"), Some(session), at(200)).unwrap();
    let token = tokens.read(moved.as_bytes(), at(200), None, None).unwrap();
    assert_eq!((token.endpoint(), token.session()), (&id("b"), session));
    assert_eq!((token.session().began(), token.issued_at()), (at(100), at(200)));
}

#[test]
fn a_token_is_stale_once_idle_or_old() {
    let tokens = tokens(KeyRing::new(key(1)));
    let read = |text: &str, now, idle, life| tokens.read(text.as_bytes(), at(now), idle, life).map(drop);
    let secs = |n| Some(Duration::from_secs(n));

    let session = TokenSession { nonce: [1; 8], began: 1000 };
    let text = tokens.issue(id("a"), Some(session), at(1500)).unwrap();
    assert_eq!(read(&text, 1600, secs(100), None), Ok(()));
    assert_eq!(read(&text, 1601, secs(100), None), Err(InvalidToken::Stale));
    assert_eq!(read(&text, 2000, None, secs(1000)), Ok(()));
    assert_eq!(read(&text, 2001, None, secs(1000)), Err(InvalidToken::Stale));
    assert_eq!(read(&text, 4_000_000_000, None, None), Ok(()));
}

#[test]
fn clocks_may_be_apart_and_from_five_minutes_on_a_token_is_due() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("a"), None, at(1000)).unwrap();
    for (now, ahead) in [(1000, false), (700, false), (699, true), (0, true)] {
        let token = tokens.read(text.as_bytes(), at(now), IDLE, IDLE).unwrap();
        assert_eq!((token.endpoint(), token.is_due(), token.is_from_the_future()), (&id("a"), ahead, ahead));
    }
}

#[test]
fn a_session_that_began_in_the_future_begins_now_and_ends_in_time() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("a"), Some(TokenSession { nonce: [1; 8], began: 900_000 }), at(1000)).unwrap();
    let token = tokens.read(text.as_bytes(), at(1000), None, None).unwrap();
    assert!(token.is_due() && token.is_from_the_future());
    assert_eq!((token.session().key(), token.session().began()), (&[1; 8], at(1000)));

    let text = tokens.issue(id("a"), Some(token.session()), at(1000)).unwrap();
    assert!(tokens.read(text.as_bytes(), at(2000), None, IDLE).is_ok());
    assert_eq!(tokens.read(text.as_bytes(), at(2001), None, IDLE), Err(InvalidToken::Stale));
}

#[test]
fn pools_share_keys_and_not_members() {
    let tokens = tokens(KeyRing::new(key(1)));
    let (one, other) = (tokens.for_pool(), tokens.for_pool());
    one.members([id("c")]);
    other.members([id("d")]);
    for ring in [KeyRing::new(key(1)), KeyRing::new(key(2))] {
        tokens.rotate(ring);
        let text = other.issue(id("c"), None, at(0)).unwrap();
        let read =
            |tokens: &Tokens| tokens.read(text.as_bytes(), at(0), None, None).map(|token| token.endpoint().clone());
        assert_eq!(read(&one), Ok(id("c")));
        assert!(matches!(read(&other), Err(InvalidToken::UnknownEndpoint { .. })));
        assert!(matches!(read(&tokens), Err(InvalidToken::UnknownEndpoint { .. })));
    }
}

#[test]
fn a_pool_that_comes_after_a_change_of_keys_has_the_new_ones() {
    let tokens = tokens(KeyRing::new(key(1)));
    tokens.rotate(KeyRing::new(key(2)));
    let pool = tokens.for_pool();
    drop(tokens);
    pool.members([id("c")]);
    assert!(format!("{pool:?}").contains("kids: [2], members: 1"));
}

#[test]
fn dates_that_do_not_fit_are_the_nearest_that_do() {
    let tokens = tokens(KeyRing::new(key(1)));
    let ages = Duration::from_secs(u64::from(u32::MAX) * 2);
    for now in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH + ages] {
        let text = tokens.issue(id("a"), None, now).unwrap();
        assert!(tokens.read(text.as_bytes(), now, Some(Duration::ZERO), Some(Duration::ZERO)).is_ok());
    }
    assert_eq!(token_time(UNIX_EPOCH + ages), u32::MAX);
}

#[test]
fn a_token_is_due_after_a_tenth_of_the_idle_time() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("a"), None, at(5000)).unwrap();
    let due = |now, idle| tokens.read(text.as_bytes(), at(now), idle, None).unwrap().is_due();
    assert!(!due(5099, IDLE));
    assert!(due(5100, IDLE));
    assert!(!due(6000, None));
    assert!(!due(5000, Some(Duration::from_secs(5))));
    assert!(due(5001, Some(Duration::from_secs(5))));
}

#[test]
fn another_cookies_or_clusters_token_is_forged() {
    let ring = KeyRing::new(key(1));
    let here = tokens(ring.clone());
    let other_cookie = Tokens::new(ring, "other");
    let other_cluster = Tokens::new(KeyRing::new(TokenKey::generate(1)), "srv");
    for foreign in [other_cookie, other_cluster] {
        let text = foreign.issue(id("a"), None, at(0)).unwrap();
        assert_eq!(here.read(text.as_bytes(), at(0), None, None), Err(InvalidToken::Forged));
    }
}

#[test]
fn a_key_changes_without_losing_a_session() {
    let (one, other) = (tokens(KeyRing::new(key(1))), tokens(KeyRing::new(key(1))));
    let read = |tokens: &Tokens, text: &str| tokens.read(text.as_bytes(), at(0), IDLE, None);
    let old = one.issue(id("a"), None, at(0)).unwrap();

    // Both balancers accept the new key.
    one.rotate(KeyRing::new(key(1)).accept(key(2)).unwrap());
    other.rotate(KeyRing::new(key(1)).accept(key(2)).unwrap());
    assert!(!read(&one, &old).unwrap().is_due());

    // One balancer signs with the new key, and the other still signs with the old key.
    one.rotate(KeyRing::new(key(2)).accept(key(1)).unwrap());
    let token = read(&one, &old).unwrap();
    assert!(token.is_due());
    let new = one.issue(token.endpoint(), Some(token.session()), at(0)).unwrap();
    assert_eq!(read(&other, &new).unwrap().session(), token.session());
    assert!(!read(&one, &new).unwrap().is_due());

    // The old key is removed.
    one.rotate(KeyRing::new(key(2)));
    assert_eq!(read(&one, &old), Err(InvalidToken::UnknownKey { kid: 1 }));
    assert_eq!(read(&one, &new).unwrap().endpoint(), &id("a"));
}

#[test]
fn a_key_counts_up_to_its_last_moment() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("a"), None, at(0)).unwrap();
    tokens.rotate(KeyRing::new(key(2)).accept(key(1).not_after(at(10))).unwrap());
    assert!(tokens.read(text.as_bytes(), at(10), None, None).is_ok());
    assert_eq!(tokens.read(text.as_bytes(), at(11), None, None), Err(InvalidToken::KeyExpired { kid: 1 }));
}

#[test]
fn an_expired_ring_signs_nothing_and_renews_nothing() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("a"), None, at(0)).unwrap();
    tokens.rotate(KeyRing::new(key(2).not_after(at(0))).accept(key(1)).unwrap());
    assert_eq!(tokens.issue(id("a"), None, at(1)), None);
    assert!(!tokens.read(text.as_bytes(), at(900), IDLE, None).unwrap().is_due());
}

#[test]
fn an_empty_ring_signs_and_accepts_nothing() {
    let signed = tokens(KeyRing::new(key(1))).issue(id("a"), None, at(0)).unwrap();
    let tokens = tokens(KeyRing::default());
    assert_eq!(tokens.issue(id("a"), None, at(0)), None);
    assert_eq!(tokens.read(signed.as_bytes(), at(0), None, None), Err(InvalidToken::UnknownKey { kid: 1 }));

    tokens.rotate(KeyRing::new(key(1)));
    assert_eq!(tokens.read(signed.as_bytes(), at(0), None, None).unwrap().endpoint(), &id("a"));
}

#[test]
fn an_endpoint_that_left_is_unknown_and_its_session_goes_on() {
    let tokens = tokens(KeyRing::new(key(1)));
    let session = TokenSession::start(at(50));
    let text = tokens.issue(id("a"), Some(session), at(60)).unwrap();
    tokens.members([id("b")]);
    assert_eq!(tokens.read(text.as_bytes(), at(60), None, None), Err(InvalidToken::UnknownEndpoint { session }));
    tokens.members([id("a"), id("b")]);
    assert!(tokens.read(text.as_bytes(), at(60), None, None).is_ok());
}

#[test]
fn a_token_can_name_an_endpoint_that_is_not_yet_a_member() {
    let tokens = tokens(KeyRing::new(key(1)));
    let text = tokens.issue(id("c"), None, at(0)).unwrap();
    tokens.members([id("c")]);
    assert_eq!(tokens.read(text.as_bytes(), at(0), None, None).unwrap().endpoint(), &id("c"));
}

#[test]
fn keys_of_a_ring_have_ids_of_their_own_and_secrets_a_length() {
    assert_eq!(TokenKey::new(1, [0; 15]).unwrap_err(), KeyError::TooShort { len: 15 });
    assert!(TokenKey::new(1, [0; 16]).is_ok());
    let again = KeyRing::new(key(1)).accept(key(2)).unwrap().accept(key(2));
    assert_eq!(again.unwrap_err(), KeyError::DuplicateKid { kid: 2 });
    assert_eq!(KeyRing::new(key(1)).accept(key(1)).unwrap_err(), KeyError::DuplicateKid { kid: 1 });
}

#[test]
fn nothing_prints_a_secret() {
    let ring = KeyRing::new(TokenKey::new(1, "correct horse battery").unwrap());
    let printed = format!("{ring:?} {:?}", tokens(ring.clone()));
    assert!(!printed.contains("horse") && !printed.contains("104, 111, 114"), "{printed}");
}

#[test]
fn reasons_have_labels_of_their_own() {
    let session = TokenSession::start(at(0));
    let all = [
        InvalidToken::Malformed,
        InvalidToken::UnknownKey { kid: 0 },
        InvalidToken::Forged,
        InvalidToken::KeyExpired { kid: 0 },
        InvalidToken::Stale,
        InvalidToken::UnknownEndpoint { session },
    ];
    let labels: std::collections::HashSet<_> = all.iter().map(InvalidToken::as_str).collect();
    assert_eq!(labels.len(), all.len());
}

#[test]
fn changes_at_once_do_not_undo_each_other() {
    let tokens = tokens(KeyRing::new(key(1)));
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|_| tokens.members([id("c")])));
        scope.spawn(|| (0..100).for_each(|_| tokens.rotate(KeyRing::new(key(2)))));
    });
    let text = tokens.issue(id("c"), None, at(0)).unwrap();
    assert!(tokens.read(text.as_bytes(), at(0), None, None).is_ok());
    assert!(format!("{tokens:?}").contains("kids: [2], members: 1"));
}

proptest! {
    #[test]
    fn what_is_issued_is_read(nonce: [u8; 8], began: u32, issued_at: u32, name in "[^\\pC]{1,60}") {
        let tokens = tokens(KeyRing::new(key(9)));
        tokens.members([id(&name), id("b")]);
        let (session, now) = (TokenSession { nonce, began }, at(issued_at.max(began).into()));
        let text = tokens.issue(id(&name), Some(session), now).unwrap();
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
        let token = tokens.read(text.as_bytes(), now, IDLE, None).unwrap();
        prop_assert_eq!(token.endpoint(), &id(&name));
        prop_assert_eq!(token.session(), session);
        prop_assert_eq!(token.issued_at(), now);
        prop_assert!(!token.is_due());
    }

    #[test]
    fn any_other_bytes_are_refused(bytes: Vec<u8>, now: u32) {
        prop_assert!(tokens(KeyRing::new(key(1))).read(&bytes, at(now.into()), None, None).is_err());
    }

    #[test]
    fn what_looks_like_a_token_is_refused(text in "AQE[A-Za-z0-9_-]{53}") {
        prop_assert_eq!(tokens(KeyRing::new(key(1))).read(text.as_bytes(), at(0), None, None), Err(InvalidToken::Forged));
    }

    #[test]
    fn any_clock_and_any_body_is_read_without_a_panic(
        nonce: [u8; 8], began: u32, issued_at: u32, tag: [u8; 8], now: u32, idle: u64, life: u64,
    ) {
        let tokens = tokens(KeyRing::new(key(1)));
        let mac = key(1).derive("equipoise token 1 mac", b"srv");
        let text = Body { kid: 1, session: TokenSession { nonce, began }, issued_at, tag }.sign(mac);
        let (idle, life) = (Duration::from_secs(idle), Duration::from_secs(life));
        prop_assert!(tokens.read(text.as_bytes(), at(now.into()), Some(idle), Some(life)).is_err());
    }
}

#[test]
fn each_flipped_bit_is_refused() {
    let tokens = tokens(KeyRing::new(key(1)).accept(key(0)).unwrap().accept(key(3)).unwrap());
    let text = tokens.issue(id("a"), None, at(0)).unwrap().into_bytes();
    for (at_byte, bit) in (0..text.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit))) {
        let mut flipped = text.clone();
        flipped[at_byte] ^= 1 << bit;
        assert!(tokens.read(&flipped, at(0), None, None).is_err(), "byte {at_byte}, bit {bit}");
    }
    for len in 0..text.len() {
        assert_eq!(tokens.read(&text[..len], at(0), None, None), Err(InvalidToken::Malformed));
    }
    assert_eq!(tokens.read(&[&text[..], b"="].concat(), at(0), None, None), Err(InvalidToken::Malformed));
}
