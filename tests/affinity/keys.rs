//! Session keys, with bindings in a table.

use std::sync::Arc;

use equipoise::{
    Maglev, Pool, RoundRobin, SourcePrefix,
    affinity::{
        Affinity, InvalidMode, Mode,
        key::SessionKey,
        source::{ClientAddress, ForwardedHeader, TrustedProxies},
        table::SessionTable,
    },
};
use equipoise_tests::soon;
use http::StatusCode;

use crate::{
    clients::{Answer, send},
    proxy::Proxy,
    setup::{Servers, affinity},
};

const USERS: usize = 12;

#[test]
fn a_strategy_that_goes_by_no_key_is_refused_where_it_is_to_place_by_one() {
    let key = || Mode::hash(SessionKey::header("x-user").unwrap());
    let refused = Affinity::new(&Pool::<()>::new(RoundRobin::new()), key()).unwrap_err();
    assert_eq!(refused, InvalidMode::NoKeys);
    assert!(refused.to_string().contains("maglev"), "{refused}");
    assert!(Affinity::new(&Pool::<()>::new(Maglev::new()), key()).is_ok());
}

/// A balancer with this session key, and its table.
struct Site {
    proxy: Proxy,
    table: SessionTable,
    _servers: Servers,
}

impl Site {
    fn by(key: SessionKey) -> Self {
        let servers = Servers::start(["a", "b", "c"]);
        let pool = servers.pool();
        let table = SessionTable::builder().build().unwrap();
        let affinity = affinity(&pool, Mode::table(key, Arc::new(table.clone())));
        Self { proxy: Proxy::start(&pool, &affinity), table, _servers: servers }
    }

    async fn ask(&self, target: &str, lines: &str) -> Answer {
        let request = format!("GET {target} HTTP/1.1\r\nhost: app.test\r\n{lines}\r\n");
        let answer = soon(send(&self.proxy.address(), request.as_bytes())).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer
    }

    /// Asserts that users with these targets and header lines are distinguished, and that each keeps its server.
    async fn distinguishes(&self, target: impl Fn(usize) -> String, lines: impl Fn(usize) -> String) {
        let mut servers = Vec::new();
        for user in 0..USERS {
            let first = self.ask(&target(user), &lines(user)).await;
            assert!(first.outcome().starts_with("newly bound"), "{first:?}");
            servers.push(first.server().to_owned());
        }
        assert_eq!(servers[..3], ["a", "b", "c"]);
        for (user, server) in servers.iter().enumerate().rev() {
            let again = self.ask(&target(user), &lines(user)).await;
            assert_eq!((again.server(), again.outcome()), (server.as_str(), "kept"));
        }
        assert_eq!(self.table.len(), USERS);
    }
}

/// A part of the request that is the same for all users.
fn same(what: &'static str) -> impl Fn(usize) -> String {
    move |_| what.to_owned()
}

#[tokio::test]
async fn users_are_distinguished_by_a_header() {
    let site = Site::by(SessionKey::header("x-user").unwrap());
    site.distinguishes(same("/"), |user| format!("x-user: {user}\r\n")).await;
}

#[tokio::test]
async fn users_are_distinguished_by_a_cookie_of_the_application() {
    let site = Site::by(SessionKey::cookie("sid").unwrap());
    site.distinguishes(same("/"), |user| format!("cookie: theme=dark; sid={user}\r\n")).await;
}

#[tokio::test]
async fn users_are_distinguished_by_a_parameter_of_the_query() {
    let site = Site::by(SessionKey::query_parameter("sid").unwrap());
    site.distinguishes(|user| format!("/cart?item=7&sid={user}"), same("")).await;
}

#[tokio::test]
async fn users_are_distinguished_by_the_path() {
    let site = Site::by(SessionKey::path_segment(1));
    site.distinguishes(|user| format!("/tenants/{user}/cart"), same("")).await;
}

/// The header lines with which a proxy in front sends the address of its client.
fn forwarded(user: usize) -> String {
    format!("x-forwarded-for: 203.0.113.{user}\r\n")
}

#[tokio::test]
async fn behind_a_trusted_proxy_users_are_distinguished_by_the_addresses_that_it_names() {
    let client = ClientAddress::behind(TrustedProxies::loopback()).header(ForwardedHeader::XForwardedFor);
    let site = Site::by(SessionKey::source(client, SourcePrefix::new(32, 128).unwrap()));
    site.distinguishes(same("/"), forwarded).await;
    // A client that prepends another address is not identified by that address.
    let liar = site.ask("/", "x-forwarded-for: 203.0.113.1, 198.51.100.7\r\n").await;
    assert!(liar.outcome().starts_with("newly bound"), "{liar:?}");
}

#[tokio::test]
async fn behind_an_untrusted_proxy_all_requests_have_the_address_of_the_connection() {
    let client = ClientAddress::behind(TrustedProxies::private()).header(ForwardedHeader::XForwardedFor);
    let site = Site::by(SessionKey::source(client, SourcePrefix::new(32, 128).unwrap()));
    for user in 0..USERS {
        assert_eq!(site.ask("/", &forwarded(user)).await.server(), "a");
    }
    assert_eq!(site.table.len(), 1);
}

#[tokio::test]
async fn users_of_one_network_share_a_session_if_the_key_is_the_network() {
    let client = ClientAddress::behind(TrustedProxies::loopback()).header(ForwardedHeader::XForwardedFor);
    let site = Site::by(SessionKey::source(client, SourcePrefix::new(24, 56).unwrap()));
    for user in 0..USERS {
        assert_eq!(site.ask("/", &forwarded(user)).await.server(), "a");
    }
    assert_eq!(site.ask("/", "x-forwarded-for: 198.51.100.7\r\n").await.server(), "b");
}
