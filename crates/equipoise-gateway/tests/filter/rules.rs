use bytes::Bytes;
use equipoise_affinity::source::{ClientAddress, ForwardedHeader, PeerAddr, TrustedProxies};
use equipoise_gateway::filter::{AddressRanges, FilterLayer, FilterRules, Rule};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceExt};

use super::{Chunks, mirror, reply, request, send};

fn layer<const N: usize>(rules: [Rule; N]) -> FilterLayer {
    FilterLayer::new(FilterRules::new(rules).expect("rules"))
}

fn ranges(text: &str) -> AddressRanges {
    text.parse().expect("ranges")
}

#[tokio::test]
async fn the_first_rule_that_allows_or_denies_decides() {
    let layer = layer([
        Rule::allow("office").path("/admin/**").addresses(ranges("192.0.2.0/24")),
        Rule::deny("admin").path("/admin/**").status(StatusCode::NOT_FOUND),
        Rule::deny("scripts").path("/**/*.php").path("/**/*.cgi"),
    ]);
    assert_eq!(send(&layer, request("GET", "/admin/x")).await.status, 200);
    let mut other = request("GET", "/admin/x");
    other.extensions_mut().insert(PeerAddr("198.51.100.1:1".parse().expect("an address")));
    let denied = send(&layer, other).await;
    assert_eq!((denied.status, denied.code), (404, Some("not_found")));
    for path in ["/x.php", "/a/x.cgi", "/a/%78.ph%70?x", "//x.php"] {
        let denied = send(&layer, request("GET", path)).await;
        assert_eq!((denied.status, denied.code), (403, Some("forbidden")), "{path}");
    }
    assert_eq!(send(&layer, request("GET", "/x.html")).await.status, 200);
    let stats = layer.stats();
    assert_eq!((stats.allowed, stats.denied, stats.unmatched), (2, 5, 1));
    let met: Vec<_> = stats.rules.iter().map(|rule| (&*rule.name, rule.met)).collect();
    assert_eq!(met, [("office", 1), ("admin", 1), ("scripts", 4)]);
}

#[tokio::test]
async fn tricks_with_paths_do_not_avoid_a_rule() {
    let layer = layer([Rule::deny("admin").path("/admin/**")]);
    for path in [
        "/admin",
        "/admin/",
        "//admin",
        "/./admin",
        "/static/../admin",
        "/static/%2e%2e/admin",
        "/static/.%2E/%61dmin/x",
        "/admin%2f..",
        "/static/..%2fadmin",
        "/static/..%5cadmin",
        "/static\\..\\admin",
        "/;/admin",
        "/admin;x",
        "/admin;x=1/y",
        "/public/..;/admin",
        "/admin%00.css",
        "/adm\u{131}n",
    ] {
        let denied = send(&layer, request("GET", path)).await;
        assert!(matches!(denied.status, 400 | 403), "{path}: {}", denied.status);
    }
    for path in ["/users/7;v=1", "/administrator", "/x/admin"] {
        assert_eq!(send(&layer, request("GET", path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn other_methods_get_405_and_learn_those_that_are_allowed() {
    let layer = layer([Rule::only_methods("read", [Method::GET, Method::HEAD]).path("/public/**")]);
    assert_eq!(send(&layer, request("GET", "/public/x")).await.status, 200);
    assert_eq!(send(&layer, request("POST", "/x")).await.status, 200);
    let denied = send(&layer, request("POST", "/public/x")).await;
    assert_eq!((denied.status, denied.code), (405, Some("method_not_allowed")));
    assert_eq!(denied.headers["allow"], "GET, HEAD");
}

#[tokio::test]
async fn conditions_look_at_fields_and_parameters() {
    for (rule, matching, other) in [
        (Rule::deny("r").has_header("x-a"), ("/", "x-a", ""), ("/", "x-b", "1")),
        (Rule::deny("r").lacks_header("x-a"), ("/", "x-b", "1"), ("/", "x-a", "1")),
        (Rule::deny("r").header("x-a", "1"), ("/", "X-A", "1"), ("/", "x-a", "11")),
        (
            Rule::deny("r").header_starts_with("user-agent", "bot/"),
            ("/", "user-agent", "bot/1"),
            ("/", "user-agent", "a bot/1"),
        ),
        (
            Rule::deny("r").header_contains("user-agent", "bot"),
            ("/", "user-agent", "a bot/1"),
            ("/", "user-agent", "b ot"),
        ),
        (Rule::deny("r").has_query("debug"), ("/?a&%64ebug", "x", "1"), ("/?debugger=1", "x", "1")),
        (Rule::deny("r").query("a", "b c"), ("/?a=1&a=b+c", "x", "1"), ("/?a=b", "x", "1")),
        (Rule::deny("r").query_contains("a", "<script"), ("/?a=x%3Cscript", "x", "1"), ("/?b=%3Cscript", "x", "1")),
        (Rule::deny("r").uri_longer_than(4), ("/abcd", "x", "1"), ("/abc", "x", "1")),
        (Rule::deny("r").when(|head| head.headers.contains_key("x-a")), ("/", "x-a", "1"), ("/", "x", "1")),
        (Rule::deny("r").methods([Method::GET]).has_header("x-a"), ("/", "x-a", "1"), ("/", "x", "1")),
    ] {
        let layer = layer([rule.clone()]);
        for ((target, name, value), status) in [(matching, 403), (other, 200)] {
            let mut request = request("GET", target);
            request.headers_mut().insert(
                http::HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                value.parse().expect("a value"),
            );
            assert_eq!(send(&layer, request).await.status, status, "{rule:?} {target}");
        }
    }
}

#[tokio::test]
async fn a_host_is_the_same_in_every_form() {
    let layer = layer([Rule::deny("r").host("b.test").host("*.App.test")]);
    for (host, status) in [
        ("a.app.test", 403),
        ("A.B.APP.TEST:81", 403),
        ("a.app.test.", 403),
        ("b.test", 403),
        ("app.test", 200),
        ("aapp.test", 200),
        ("a.b.test", 200),
    ] {
        let mut request = request("GET", "/");
        request.headers_mut().insert("host", host.parse().expect("a value"));
        assert_eq!(send(&layer, request).await.status, status, "{host}");
    }
}

#[tokio::test]
async fn an_address_is_the_same_in_every_form() {
    let deny = || layer([Rule::deny("r").addresses(ranges("192.0.2.7 2001:db8::/32"))]);
    for (peer, status) in [
        ("192.0.2.7:1", 403),
        ("[::ffff:192.0.2.7]:1", 403),
        ("[::ffff:c000:207]:1", 403),
        ("[2001:db8::1]:1", 403),
        ("[2001:0db8:0:0::0001]:1", 403),
        ("192.0.2.8:1", 200),
        ("[2001:db9::1]:1", 200),
    ] {
        let mut request = request("GET", "/");
        request.extensions_mut().insert(PeerAddr(peer.parse().expect("an address")));
        assert_eq!(send(&deny(), request).await.status, status, "{peer}");
    }
    let mut unknown = request("GET", "/");
    unknown.extensions_mut().remove::<PeerAddr>();
    let denied = send(&deny(), unknown).await;
    assert_eq!((denied.status, denied.code), (403, Some("client_address_unknown")));
}

#[tokio::test]
async fn a_client_cannot_choose_its_address() {
    let trusting = |trusted: TrustedProxies| {
        let client = ClientAddress::behind(trusted).header(ForwardedHeader::XForwardedFor);
        layer([Rule::allow("office").addresses(ranges("10.0.0.1")), Rule::deny("others")]).client_address(client)
    };
    let mut request = request("GET", "/");
    request.headers_mut().insert("x-forwarded-for", "10.0.0.1".parse().expect("a value"));
    assert_eq!(send(&trusting(TrustedProxies::private()), request.clone()).await.status, 403);
    let proxies = "192.0.2.0/24".parse().expect("networks");
    assert_eq!(send(&trusting(proxies), request).await.status, 200);
}

#[tokio::test]
async fn a_dry_run_counts_and_denies_nothing() {
    let one = layer([Rule::deny("trial").path("/x").dry_run(true), Rule::deny("real").path("/y")]);
    assert_eq!(send(&one, request("GET", "/x")).await.status, 200);
    assert_eq!(send(&one, request("GET", "/y")).await.status, 403);
    assert_eq!((one.stats().rules[0].met, one.stats().rules[0].dry_run), (1, true));
    let all = layer([Rule::deny("real")]).dry_run(true);
    assert_eq!(send(&all, request("GET", "/y")).await.status, 200);
    assert_eq!(all.stats().rules[0].met, 1);
    for is_of_rule in [false, true] {
        let limit = layer([Rule::limit("trial", 1).dry_run(is_of_rule), Rule::deny("x").path("/x")]);
        let request = Request::post("/").header("content-length", 2).body(Full::from("ab")).expect("a request");
        assert_eq!(send(&limit.dry_run(!is_of_rule), request).await.status, 200);
    }
}

#[tokio::test]
async fn a_rule_that_is_only_counted_refuses_no_ambiguous_path() {
    let trial =
        |dry_run| layer([Rule::deny("trial").path("/admin/**").dry_run(dry_run), Rule::deny("x").host("x.test")]);
    for (dry_run, status) in [(true, 200), (false, 400)] {
        assert_eq!(send(&trial(dry_run), request("GET", "/files/a%2Fb")).await.status, status);
    }
}

#[tokio::test]
async fn requests_that_no_rule_allows_can_be_denied() {
    let rules = FilterRules::denying_others([Rule::allow("api").path("/api/**")]).expect("rules");
    let layer = FilterLayer::new(rules);
    assert_eq!(send(&layer, request("GET", "/api/x")).await.status, 200);
    let denied = send(&layer, request("GET", "/x")).await;
    assert_eq!((denied.status, denied.code), (403, Some("not_allowed")));
    layer.replace(FilterRules::default());
    assert_eq!(send(&layer, request("GET", "/x")).await.status, 200, "the rules were exchanged");
}

#[test]
fn rules_that_only_allow_need_the_others_to_be_denied() {
    let rules = || [Rule::allow("office").path("/admin/**"), Rule::allow("api").path("/api/**")];
    let error = FilterRules::new(rules()).expect_err("other requests pass too");
    assert_eq!((error.rule.as_str(), error.error.setting), ("office", "action"));
    assert!(error.to_string().contains("FilterRules::denying_others"), "{error}");
    FilterRules::denying_others(rules()).expect("other requests are denied");
    FilterRules::new(rules().into_iter().chain([Rule::limit("uploads", 9)])).expect("a limit");
    FilterRules::new([]).expect("no rules, for a layer that has only limits");
}

#[tokio::test]
async fn long_heads_are_denied() {
    let layer = layer([]).max_uri_bytes(8).max_fields(20).max_field_bytes(1000);
    let denied = send(&layer, request("GET", "/12345678")).await;
    assert_eq!((denied.status, denied.code), (414, Some("uri_too_long")));
    let mut many = request("GET", "/");
    for _ in 0..10_000 {
        many.headers_mut().append("x-a", "1".parse().expect("a value"));
    }
    assert_eq!(send(&layer, many).await.status, 431);
    let mut long = request("GET", "/");
    long.headers_mut().insert("x-a", "a".repeat(1000).parse().expect("a value"));
    let denied = send(&layer, long).await;
    assert_eq!((denied.status, denied.code), (431, Some("fields_too_large")));
}

#[tokio::test]
async fn declared_bodies_are_denied_before_the_endpoint_sees_them() {
    let rules = [Rule::limit("uploads", 10).path("/upload"), Rule::allow("all")];
    let layer = layer(rules).max_body_bytes(3);
    for (path, length, status) in [("/upload", "10", 200), ("/upload", "11", 413), ("/x", "3", 200), ("/x", "4", 413)] {
        let mut request = request("POST", path);
        request.headers_mut().insert("content-length", length.parse().expect("a value"));
        assert_eq!(send(&layer, request).await.status, status, "{path} {length}");
    }
    assert_eq!(layer.stats().too_large, 2);
}

#[tokio::test]
async fn bodies_without_a_length_are_counted() {
    let chunks = |count: usize| Chunks::new(std::iter::repeat_n("abc", count));
    let layer = layer([]).max_body_bytes(6);
    let short = layer.layer(mirror()).oneshot(Request::post("/").body(chunks(2)).expect("a request")).await;
    assert_eq!(reply(short.expect("a response")).await.body, "abcabc");
    let long = layer.layer(mirror()).oneshot(Request::post("/").body(chunks(3)).expect("a request")).await;
    let denied = reply(long.expect("a response")).await;
    assert_eq!((denied.status, denied.code), (413, Some("body_too_large")));
    assert_eq!(layer.stats().too_large, 1);
}

#[tokio::test]
async fn a_request_that_is_denied_never_reaches_the_endpoint() {
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let endpoint = tower::service_fn(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(Full::<Bytes>::default())))
    });
    let service = layer([Rule::deny("all")]).layer(endpoint);
    let response = service.oneshot(request("GET", "/")).await.expect("a response");
    assert_eq!(response.status(), 403);
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn rules_that_cannot_work_are_refused() {
    for (rule, setting) in [
        (Rule::deny(""), "name"),
        (Rule::deny("r").path("x"), "path"),
        (Rule::deny("r").host("a.test:80"), "host"),
        (Rule::deny("r").status(StatusCode::OK), "status"),
        (Rule::deny("r").methods([]), "methods"),
        (Rule::deny("r").has_header("a b"), "has_header"),
        (Rule::deny("r").query("", "1"), "query"),
        (Rule::deny("r").addresses(AddressRanges::none()), "addresses"),
    ] {
        let error = FilterRules::new([rule]).expect_err("an invalid rule");
        assert_eq!(error.error.setting, setting);
    }
    let error = FilterRules::new([Rule::deny("r"), Rule::allow("r")]).expect_err("a name twice");
    assert_eq!(error.to_string(), "rule \"r\": name \"r\": each rule has another name");
}
