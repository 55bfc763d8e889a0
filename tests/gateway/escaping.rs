//! Clients that try to get a new bucket of a rate limit with other spellings of their address.

use equipoise::{
    affinity::source::{ClientAddress, ForwardedHeader, TrustedProxies},
    gateway::{
        limit::{Limit, LimitKey, Quota, RateLimitLayer},
        stack::Functions,
    },
    proxy::{
        ReverseProxyLayer,
        headers::{FieldAction, ForwardingFields, ReportedField},
    },
};
use equipoise_tests::Backend;
use http::{HeaderName, Request};
use tokio::net::TcpListener;

use crate::setup::{Gateway, Reply, answer};

fn limited(limit: Limit) -> Functions {
    Functions::new().rate_limit(RateLimitLayer::builder().limit(limit).build().expect("a limit"))
}

/// Two requests in an hour for each key.
fn two(key: LimitKey) -> Limit {
    Limit::new("client", key, Quota::per_hour(2).burst(2))
}

/// A gateway behind a proxy on loopback, which the tests play.
async fn behind_a_proxy(header: ForwardedHeader) -> (Gateway, Backend) {
    let backend = Backend::start("hello").expect("a free port");
    let written = match header {
        ForwardedHeader::Forwarded => ReportedField::Forwarded,
        _ => ReportedField::XForwardedFor,
    };
    let fields = ForwardingFields::behind(TrustedProxies::loopback());
    let fields = fields.written_by_proxies([written]).forwarded(FieldAction::Append);
    let proxy = ReverseProxyLayer::new().forwarding(fields);
    let client = ClientAddress::behind(TrustedProxies::loopback()).header(header);
    let functions = limited(two(LimitKey::client(client)));
    (Gateway::start_with(&proxy, functions, backend.address()).await, backend)
}

#[tokio::test]
async fn a_client_without_proxy_has_one_bucket_whatever_its_fields_say() {
    let backend = Backend::start("hello").expect("a free port");
    let functions = limited(two(LimitKey::client(ClientAddress::connection())));
    let gateway = Gateway::start(functions, backend.address()).await;
    let names = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip"];
    let mut admitted = 0;
    for (number, name) in names.into_iter().cycle().take(24).enumerate() {
        let value = if name == "forwarded" { format!("for=6.6.6.{number}") } else { format!("6.6.6.{number}") };
        let reply = gateway.send(Request::get("/").header(name, value)).await;
        assert!(matches!(reply.status, 200 | 429), "{}", reply.status);
        admitted += usize::from(reply.status == 200);
    }
    assert_eq!((admitted, backend.served()), (2, 2));
}

#[tokio::test]
async fn spellings_of_an_address_share_a_bucket() {
    let of_one_client: [&[&str]; 2] = [
        &[
            "203.0.113.9",
            "::ffff:203.0.113.9",
            "::FFFF:203.0.113.9",
            "::ffff:cb00:7109",
            "0:0:0:0:0:ffff:203.0.113.9",
            "203.0.113.9:4711",
            "[::ffff:203.0.113.9]:4711",
            " 203.0.113.9 ",
            "6.6.6.6, 203.0.113.9",
            "6.6.6.6,::ffff:203.0.113.9",
            "203.0.113.9, 127.0.0.1",
            "203.0.113.9,::ffff:127.0.0.1, ::1",
        ],
        &[
            "2001:db8:0:1::1",
            "2001:DB8:0:1::2",
            "2001:db8:0:1:ffff:ffff:ffff:ffff",
            "2001:0db8:0000:0001:0000:0000:0000:0001",
            "[2001:db8:0:1::3]:4711",
            "[2001:db8:0:1::4]",
            "6.6.6.6, 2001:db8:0:1::5",
        ],
    ];
    let (gateway, _backend) = behind_a_proxy(ForwardedHeader::XForwardedFor).await;
    for spellings in of_one_client {
        let mut statuses = Vec::new();
        for spelling in spellings {
            statuses.push(gateway.send(Request::get("/").header("x-forwarded-for", *spelling)).await.status);
        }
        let mut expected = vec![429; spellings.len()];
        expected[..2].fill(200);
        assert_eq!(statuses, expected, "{spellings:?}");
    }
    // Other clients have their own buckets.
    for other in ["203.0.113.10", "2001:db8:0:2::1"] {
        assert_eq!(gateway.send(Request::get("/").header("x-forwarded-for", other)).await.status, 200, "{other}");
    }
}

#[tokio::test]
async fn spellings_of_an_address_in_forwarded_share_a_bucket() {
    let (gateway, _backend) = behind_a_proxy(ForwardedHeader::Forwarded).await;
    let mut statuses = Vec::new();
    for spelling in [
        "for=203.0.113.9",
        "for=\"203.0.113.9:4711\"",
        "For=\"[::ffff:203.0.113.9]\"",
        "FOR=\"[::FFFF:cb00:7109]:4711\";proto=https",
        "for=6.6.6.6, for=203.0.113.9",
        "for=\"6.6.6.6, for=7.7.7.7\", for=203.0.113.9",
        "by=6.6.6.6;for=\"203.0.113\\.9\"",
    ] {
        statuses.push(gateway.send(Request::get("/").header("forwarded", spelling)).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429, 429]);
    assert_eq!(gateway.send(Request::get("/").header("forwarded", "for=203.0.113.10")).await.status, 200);
}

#[tokio::test]
async fn what_is_no_address_shares_the_bucket_of_the_proxy() {
    let (gateway, _backend) = behind_a_proxy(ForwardedHeader::XForwardedFor).await;
    let mut statuses = Vec::new();
    for text in ["unknown", "203.0.113.256", "0xcb.0.113.9", "203.0.113.9.", "3405803785", "", "evil", "a, b"] {
        statuses.push(gateway.send(Request::get("/").header("x-forwarded-for", text)).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429, 429, 429]);
}

#[tokio::test]
async fn a_client_of_a_socket_for_both_families_shares_the_bucket_of_its_ipv4_address() {
    let Ok(both) = TcpListener::bind("[::]:0").await else {
        eprintln!("SKIPPED: no IPv6");
        return;
    };
    let backend = Backend::start("hello").expect("a free port");
    let functions = limited(two(LimitKey::client(ClientAddress::connection())));
    let proxy = ReverseProxyLayer::new();
    let ipv4 = Gateway::start_with(&proxy, functions.clone(), backend.address()).await;
    let mut both = Gateway::listen(&proxy, functions, backend.address(), both);
    // A connection over IPv4 to the socket for both: its peer is `::ffff:127.0.0.1`.
    both.address.set_ip([127, 0, 0, 1].into());
    let statuses = [both.get("/").await, ipv4.get("/").await, both.get("/").await, ipv4.get("/").await];
    assert_eq!(statuses.map(|reply| reply.status), [200, 200, 429, 429]);
}

#[tokio::test]
async fn versions_of_http_and_connections_share_a_bucket() {
    let backend = Backend::start("hello").expect("a free port");
    let functions = limited(two(LimitKey::client(ClientAddress::connection())));
    let gateway = Gateway::start(functions, backend.address()).await;
    let mut statuses = vec![gateway.get("/").await.status];
    let mut http2 = gateway.connect_http2().await;
    for _ in 0..2 {
        let request = Request::get("http://app.test/").body(http_body_util::Full::default()).expect("a request");
        statuses.push(http2.send_request(request).await.expect("a response").status().as_u16());
    }
    statuses.push(gateway.get("/").await.status);
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[tokio::test]
async fn a_missing_or_doubled_key_is_no_new_bucket() {
    let backend = Backend::start("hello").expect("a free port");
    let functions = limited(two(LimitKey::header(HeaderName::from_static("x-key"))));
    let gateway = Gateway::start(functions, backend.address()).await;
    let requests = [&[][..], &["a", "b"], &["a", "c"], &["d", "d"], &[""], &["  "]];
    let mut statuses = Vec::new();
    for lines in requests {
        let request = lines.iter().fold(Request::get("/"), |all, line| all.header("x-key", *line));
        statuses.push(gateway.send(request).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429, 429, 429]);
}

#[tokio::test]
async fn a_flood_of_keys_resets_no_bucket_and_a_denial_is_readable_by_machines() {
    let backend = Backend::answering(|_| answer(200, &[], "")).expect("a free port");
    let limit = two(LimitKey::header(HeaderName::from_static("x-key"))).max_keys(64);
    let gateway = Gateway::start(limited(limit), backend.address()).await;
    let mut client = gateway.connect().await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.send(Request::get("/").header("x-key", "attacker"), "").await.status);
    }
    assert_eq!(statuses, [200, 200, 429]);
    for number in 0..500 {
        client.send(Request::get("/").header("x-key", format!("{number}")), "").await;
    }
    let denied: Reply = client.send(Request::get("/").header("x-key", "attacker"), "").await;
    assert_eq!(denied.status, 429);
    assert!(denied.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..=3600).contains(&seconds)));
    assert!(denied.header("ratelimit").starts_with("\"client\";r=0"), "{denied:?}");
    assert_eq!(denied.code(), "rate_limited");
}
