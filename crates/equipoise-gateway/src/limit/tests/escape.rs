//! Ways in which clients may try to get more than their quota.

use equipoise_affinity::source::ClientAddress;
use http::{HeaderName, HeaderValue};

use super::{Limited, from, with};
use crate::limit::{Limit, LimitKey, MissingKey, Quota, RateLimitLayer};

fn client() -> LimitKey {
    LimitKey::client(ClientAddress::connection())
}

fn limited(key: LimitKey) -> Limited {
    Limited::new(RateLimitLayer::builder().limit(Limit::new("x", key, Quota::per_hour(1))))
}

#[tokio::test]
async fn the_notation_of_an_address_is_no_escape() {
    let limited = limited(client());
    for (address, status) in [
        ("192.0.2.7", 200),
        ("::ffff:192.0.2.7", 429),
        ("::ffff:c000:207", 429),
        ("192.0.2.8", 200),
        ("2001:db8::1", 200),
        ("2001:db8::2", 429),
        ("2001:db8:0:0:8000::", 429),
        ("2001:db8:0:1::", 200),
    ] {
        assert_eq!(limited.statuses(1, || from(address)).await, [status], "{address}");
    }
}

#[tokio::test]
async fn rotating_addresses_of_a_network_of_64_bits_is_no_escape() {
    let limited = limited(client());
    let mut passed = 0;
    for host in 0..500_u128 {
        let address =
            std::net::Ipv6Addr::from((0x2001_0db8 << 96) | host.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 8 & 0xffff_ffff);
        passed +=
            limited.statuses(1, || from(&address.to_string())).await.iter().filter(|status| **status == 200).count();
    }
    assert_eq!(passed, 1);
}

#[tokio::test]
async fn forged_forwarding_fields_are_no_escape() {
    let limited = limited(client());
    assert_eq!(limited.statuses(1, || from("192.0.2.7")).await, [200]);
    for name in ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip"] {
        let forged = || {
            let mut request = from("192.0.2.7");
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static("203.0.113.1"));
            request
        };
        assert_eq!(limited.statuses(1, forged).await, [429], "{name}");
    }
}

#[tokio::test]
async fn leaving_out_repeating_or_spelling_the_key_differently_is_no_escape() {
    let limited = limited(LimitKey::header(HeaderName::from_static("x-api-key")));
    assert_eq!(limited.statuses(2, || with("x-api-key", "k")).await, [200, 429]);
    assert_eq!(limited.statuses(1, || with("X-API-KEY", "k")).await, [429]);
    assert_eq!(limited.statuses(1, || with("x-api-key", " k ")).await, [429]);
    // Requests without the key share one bucket, and those with two keys are among them.
    assert_eq!(limited.statuses(1, || with("other", "k")).await, [200]);
    for second in ["k", "l", "m"] {
        let twice = || {
            let mut request = with("x-api-key", "k");
            request.headers_mut().append("x-api-key", HeaderValue::from_static(second));
            request
        };
        assert_eq!(limited.statuses(1, twice).await, [429], "{second}");
    }
    assert_eq!(limited.layer.stats()[0].missing_key, 4);
}

#[tokio::test]
async fn requests_without_a_key_are_skipped_or_denied_if_so_set() {
    let key = || LimitKey::header(HeaderName::from_static("x-api-key"));
    let limit = |missing| {
        Limited::new(RateLimitLayer::builder().limit(Limit::new("x", key(), Quota::per_hour(1)).missing(missing)))
    };
    assert_eq!(limit(MissingKey::Skip).statuses(3, || from("192.0.2.7")).await, [200; 3]);
    let denying = limit(MissingKey::Deny);
    assert_eq!(denying.statuses(2, || from("192.0.2.7")).await, [400; 2]);
    assert_eq!(denying.statuses(2, || with("x-api-key", "k")).await, [200, 429]);
}

#[tokio::test]
async fn without_an_address_requests_share_a_bucket() {
    let limited = limited(client());
    assert_eq!(limited.statuses(2, || with("a", "b")).await, [200, 429]);
}
