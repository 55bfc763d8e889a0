//! Malicious requests: each is served, and counted under its reason.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use equipoise::{
    Maglev, Pool,
    affinity::{
        Affinity, Mode,
        key::SessionKey,
        token::{KeyRing, TokenKey},
    },
};
use equipoise_tests::soon;
use http::StatusCode;

use crate::{
    clients::{Answer, get, get_with},
    proxy::Proxy,
    setup::{Servers, affinity, in_table, ring, table, tokens, with_ring},
};

/// A balancer and a session at `b`. Without the session, requests go to another server.
struct Site {
    servers: Servers,
    affinity: Affinity,
    proxy: Proxy,
    session: String,
}

impl Site {
    async fn new() -> Self {
        let servers = Servers::start(["a", "b", "c"]);
        let pool = servers.pool();
        let affinity = affinity(&pool, tokens());
        let proxy = Proxy::start(&pool, &affinity);
        soon(get(&proxy, "")).await;
        let session = soon(get(&proxy, "")).await.cookie().unwrap();
        Self { servers, affinity, proxy, session }
    }

    /// Sends this cookie, which must be served. Returns the reason why the request was unbound.
    async fn unbound(&self, cookie: impl AsRef<[u8]>) -> &'static str {
        let before = self.affinity.stats();
        let answer = soon(get_with(&self.proxy, cookie)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let after = self.affinity.stats();
        assert_eq!((after.misses(), after.kept), (before.misses() + 1, before.kept));
        let more = |(reason, n): &&(&'static str, u64)| *n > before.unbound_for(reason);
        after.unbound.iter().find(more).unwrap().0
    }

    /// Sends this cookie, which contains the session and must keep it.
    async fn kept(&self, cookie: impl AsRef<[u8]>) {
        let answer = soon(get_with(&self.proxy, cookie)).await;
        assert_eq!((answer.status, answer.server(), answer.outcome()), (StatusCode::OK, "b", "kept"));
    }
}

#[tokio::test]
async fn cookies_above_the_total_limit_are_ignored() {
    let site = Site::new().await;
    let (session, long) = (&site.session, |bytes| "x".repeat(bytes));
    site.kept(format!("{session}; long={}", long(64_000))).await;
    assert_eq!(site.unbound(format!("{session}; long={}", long(66_000))).await, "oversized");
    assert_eq!(site.unbound(format!("lb={}", long(66_000))).await, "oversized");
    assert_eq!(site.unbound(format!("lb={}", long(64_000))).await, "malformed");
    site.kept(session).await;
}

#[tokio::test]
async fn a_thousand_cookies_of_the_name_are_ignored() {
    let site = Site::new().await;
    let many = |nonsense| "lb=nonsense; ".repeat(nonsense) + &site.session;
    site.kept(many(15)).await;
    assert_eq!(site.unbound(many(16)).await, "oversized");
    assert_eq!(site.unbound(many(999)).await, "oversized");
    assert_eq!(site.unbound(format!("{}{}", many(0), "; lb=".repeat(1000))).await, "oversized");
    // As separate lines: hyper accepts a hundred.
    let answer = soon(get(&site.proxy, "cookie: lb=nonsense\r\n".repeat(90))).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn non_text_bytes_are_unbound_and_other_cookies_are_forwarded_unchanged() {
    let mut site = Site::new().await;
    assert_eq!(site.unbound(b"lb=\xff\xfe\x80\xc3").await, "malformed");
    assert_eq!(site.unbound([&b"lb="[..], &[0xe9; 56]].concat()).await, "malformed");
    let session = site.session.clone();
    site.kept([b"theme=\xff\xfe; ", session.as_bytes(), b"; \x80"].concat()).await;
    let seen = site.servers.of("b").seen();
    assert_eq!(seen.last().unwrap().headers["cookie"].as_bytes(), b"theme=\xff\xfe; \x80");
}

#[tokio::test]
async fn a_token_with_any_bit_flipped_is_unbound() {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let site = Site::new().await;
    let token = site.session.strip_prefix("lb=").unwrap().as_bytes();
    for at in 0..token.len() {
        for bit in 0..6 {
            let digit = ALPHABET.iter().position(|digit| *digit == token[at]).unwrap();
            let mut forged = token.to_vec();
            forged[at] = ALPHABET[digit ^ 1 << bit];
            site.unbound([b"lb=", &forged[..]].concat()).await;
        }
    }
    let stats = site.affinity.stats();
    // 42 bytes: the version, the number of the key, and the authenticated part.
    let counts = ["malformed", "unknown_key", "forged"].map(|reason| stats.unbound_for(reason));
    assert_eq!(counts, [8, 8, 40 * 8]);
    site.kept(&site.session).await;
}

#[tokio::test]
async fn a_token_with_an_expired_key_is_unbound_and_a_ring_that_cannot_sign_does_not_bind() {
    let site = Site::new().await;
    let ended = TokenKey::new(1, b"a secret that nobody would guess").unwrap().not_after(SystemTime::UNIX_EPOCH);
    let pool = site.servers.pool();
    for (ring, reason) in [(KeyRing::new(ended), "key_expired"), (KeyRing::default(), "unknown_key")] {
        let affinity = affinity(&pool, with_ring(ring));
        let proxy = Proxy::start(&pool, &affinity);
        for _ in 0..3 {
            let answer = soon(get_with(&proxy, &site.session)).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(answer.outcome().starts_with("unbound: its token is invalid"), "{answer:?}");
        }
        let stats = affinity.stats();
        assert_eq!((stats.unbound_for(reason), stats.misses(), stats.new), (3, 3, 0));
    }
}

#[tokio::test]
async fn an_old_token_is_unbound_and_one_from_the_future_is_kept_and_renewed() {
    let site = Site::new().await;
    let pool = site.servers.pool();
    let day = Duration::from_secs(24 * 60 * 60);
    let cookie = equipoise::affinity::cookie::PersistenceCookie::insert("lb").indirect().build().unwrap();
    for (now, stale) in [(SystemTime::now() - day, 0), (SystemTime::now() + day, 1)] {
        let values = equipoise::affinity::EndpointNaming::tokens(ring(), &cookie).idle_timeout(day / 2);
        let affinity = affinity(&pool, Mode::cookie(cookie.clone(), values)).clock(move || now);
        let proxy = Proxy::start(&pool, &affinity);
        let answer = soon(get_with(&proxy, &site.session)).await;
        assert_eq!(answer.status, StatusCode::OK);
        let stats = affinity.stats();
        assert_eq!((stats.unbound_for("stale"), stats.misses(), stats.kept), (stale, stale, 1 - stale));
        assert!(answer.headers.contains_key("set-cookie"), "{answer:?}");
    }
}

/// Sends two equal requests in this mode.
async fn asked_twice(pool: &Pool<()>, mode: Mode) -> (Affinity, [Answer; 2]) {
    let affinity = affinity(pool, mode);
    let proxy = Proxy::start(pool, &affinity);
    let answers = [soon(get(&proxy, "x-user: ada\r\n")).await, soon(get(&proxy, "x-user: ada\r\n")).await];
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "{answers:?}");
    (affinity, answers)
}

#[tokio::test]
async fn a_key_of_a_mebibyte_counts_as_missing() {
    let servers = Servers::start(["a", "b"]);
    let huge = || SessionKey::by(|_| Some(Cow::Owned(vec![b'x'; 1 << 20])));
    let store = table();
    for mode in [Mode::table(huge(), store.clone()), Mode::hash(huge())] {
        let (affinity, answers) = asked_twice(&servers.pool_by(Maglev::new()), mode).await;
        assert!(answers.iter().all(|answer| answer.outcome().starts_with("unbound: its key is too long")));
        assert_eq!((affinity.stats().unbound_for("oversized"), affinity.stats().keyed), (2, 0));
    }
    assert!(store.is_empty());
}

#[tokio::test]
async fn a_panicking_key_counts_as_missing() {
    let servers = Servers::start(["a", "b"]);
    let panics = || SessionKey::by(|_| panic!("as it should"));
    for mode in [Mode::table(panics(), table()), Mode::hash(panics())] {
        let (affinity, _) = asked_twice(&servers.pool_by(Maglev::new()), mode).await;
        assert_eq!(affinity.stats().unbound_for("absent"), 2);
    }
    // The next key of a list is used, if there is one.
    let or = panics().or(SessionKey::header("x-user").unwrap());
    let (_, answers) = asked_twice(&servers.pool(), Mode::table(or, table())).await;
    assert_eq!(answers[1].outcome(), "kept");
}

#[tokio::test]
async fn a_panicking_exemption_does_not_apply() {
    let servers = Servers::start(["a", "b"]);
    let pool = servers.pool();
    let affinity = affinity(&pool, in_table()).except(|_| panic!("as it should"));
    let proxy = Proxy::start(&pool, &affinity);
    for outcome in ["newly bound: its session is bound to no endpoint", "kept"] {
        let answer = soon(get(&proxy, "x-user: ada\r\n")).await;
        assert_eq!((answer.status, answer.outcome()), (StatusCode::OK, outcome));
    }
}

#[tokio::test]
async fn a_panicking_clock_is_replaced_by_the_system_clock() {
    let site = Site::new().await;
    let pool = site.servers.pool();
    let proxy = Proxy::start(&pool, &affinity(&pool, tokens()).clock(|| panic!("as it should")));
    assert_eq!(soon(get_with(&proxy, &site.session)).await.outcome(), "kept");
    assert!(soon(get(&proxy, "")).await.cookie().is_some());
}
