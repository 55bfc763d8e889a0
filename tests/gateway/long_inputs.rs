//! Inputs that take parsers with bad algorithms a long time: long repetitions and almost-matches in everything that
//! functions read. A quadratic parser needs minutes for one of them.

use std::time::{Duration, Instant};

use equipoise::{
    affinity::source::{ClientAddress, ForwardedHeader, TrustedProxies},
    gateway::{
        auth::{
            ApiKey, ApiKeys, AuthLayer, Basic, Users,
            jwt::{Jwt, KeySet, VerifyingKey},
        },
        browser::{CorsPolicy, CsrfLayer, RequestIdLayer},
        cache::KeyPolicy,
        compression::CompressionLayer,
        filter::{
            FieldEdits, FieldsLayer, FilterLayer, FilterRules, RedirectLayer, RedirectRule, ReplaceText,
            ResponseBodyFilterLayer, Rule, UriLayer, UriPolicy,
        },
        limit::{Limit, LimitKey, Quota, RateLimitLayer},
        stack::Functions,
    },
    proxy::{
        ReverseProxyLayer,
        headers::{FieldAction, ForwardingFields, ReportedField},
    },
};
use equipoise_tests::{Backend, Seen};
use http::{Method, Request};
use rcgen::KeyPair;

use crate::setup::{Gateway, answer, cache};

/// The length of an input. The limits of the server are higher, so the functions read it.
const LONG: usize = 30_000;

/// All functions that read more than a few bytes of a request, none of which denies a good one.
fn functions() -> Functions {
    let key = KeyPair::generate().expect("a key pair").public_key_pem();
    let jwt = Jwt::builder(KeySet::new([VerifyingKey::pem(&key).expect("a key")]).expect("keys"));
    let jwt = jwt.issuer("a").audience("a").max_length(LONG * 2).build().expect("a scheme");
    let keys: ApiKeys = format!("ada:{}", ApiKeys::generate().hash).parse().expect("keys");
    let users: Users = "ann:$2y$04$WtMPX68r0lf83ABL2XjVGOJy5hQY.1ESjDoa/SOVUWJNzUs5Po3oG".parse().expect("users");
    let rules = [
        Rule::deny("stars").path("/a*/**/*b*c*"),
        Rule::deny("name").path("/**/*.x"),
        Rule::deny("query").query("name", "value"),
        Rule::deny("part").query_contains("q", "aaaaaaaaaaaaaaaaaaaaaaaab"),
        Rule::deny("field").header_contains("user-agent", "aaaaaaaaaaaaaaaaaaaaaaaab"),
    ];
    let edits = FieldEdits::new().set("x-copy", "{field:user-agent} {path} {query}").expect("an edit");
    let client = ClientAddress::behind(TrustedProxies::loopback()).header(ForwardedHeader::Forwarded);
    let limit = Limit::new("client", LimitKey::client(client), Quota::per_second(1_000_000).burst(1_000_000));
    let redirect = RedirectRule::prefix("/a/a/a/a/old", "/new");
    Functions::new()
        .request_id(RequestIdLayer::new().accept_from(TrustedProxies::loopback()))
        .client_fields(FieldsLayer::new().response(edits.clone()))
        .uri(UriLayer::new(UriPolicy::normalizing()))
        .filter(
            FilterLayer::new(FilterRules::new(rules).expect("rules"))
                .max_uri_bytes(2 * LONG)
                .max_field_bytes(4 * LONG)
                .max_fields(200),
        )
        .redirect(RedirectLayer::new([redirect]).expect("rules"))
        .cors(CorsPolicy::origins(["https://app.test"]).methods([Method::PUT]).build().expect("a policy"))
        .rate_limit(RateLimitLayer::builder().limit(limit).build().expect("a limit"))
        .authenticate(AuthLayer::new(jwt).or(Basic::new(users)).or(ApiKey::query("key", keys)).optional())
        .csrf(CsrfLayer::new())
        .compress(CompressionLayer::new())
        .cache(cache(|cache| cache.key(KeyPolicy::new().without_parameters(["utm"]).sorted_query().per_identity())))
        .backend_fields(FieldsLayer::new().request(edits))
        .filter_response_bodies(ResponseBodyFilterLayer::new(ReplaceText::new([("aaaaaaab", "c")]).expect("a filter")))
}

/// Repeats a text up to the length.
fn long(text: &str) -> String {
    text.repeat(LONG / text.len())
}

#[tokio::test]
async fn long_fields_and_paths_take_no_long_time() {
    // The response has fields that the cache parses too.
    let backend = Backend::answering(|seen: &Seen| {
        let fields = [
            ("vary", "accept-encoding, accept-language, cookie"),
            ("cache-control", "max-age=60"),
            ("content-type", "text/plain"),
            ("etag", "\"v1\""),
        ];
        answer(200, &fields, seen.uri.path().as_bytes().to_vec())
    })
    .expect("a free port");
    let forwarding = ForwardingFields::behind(TrustedProxies::loopback())
        .written_by_proxies([ReportedField::Forwarded, ReportedField::XForwardedFor])
        .forwarded(FieldAction::Append);
    let proxy = ReverseProxyLayer::new().forwarding(forwarding);
    let gateway = Gateway::start_with(&proxy, functions(), backend.address()).await;
    assert_eq!(gateway.get("/warm").await.status, 200);

    let nested = URL_SAFE.repeat(LONG / 2 / URL_SAFE.len());
    let fields = [
        ("authorization", format!("Bearer {}", long("."))),
        ("authorization", format!("Bearer {nested}.{nested}.a")),
        ("authorization", format!("Basic {}", long("YTph"))),
        ("authorization", long("Basic ")),
        ("authorization", long(" ")),
        ("cookie", long("a=b;")),
        ("cookie", long(";")),
        ("cookie", long("a=\"")),
        ("accept-encoding", long("gzip;q=0.1,")),
        ("accept-encoding", long(",")),
        ("accept-encoding", long("*;q=\t")),
        ("accept-language", long("de;q=0.1,")),
        ("cache-control", long("a=\"")),
        ("cache-control", long("max-age=1,")),
        ("cache-control", long("no-cache=\"a,")),
        ("cache-control", long("\\\"")),
        ("if-none-match", long("\"a\",")),
        ("if-none-match", long("W/\"")),
        ("if-none-match", long("\"")),
        ("if-modified-since", long("Sun, ")),
        ("range", format!("bytes={}", long("0-1,"))),
        ("range", format!("bytes={}", long("9"))),
        ("if-range", long("W/\"")),
        ("forwarded", long("for=1.1.1.1,")),
        ("forwarded", long("for=\"\\\"")),
        ("forwarded", long(";,")),
        ("forwarded", long("for=\"127.0.0.1\",")),
        ("x-forwarded-for", long("127.0.0.1,")),
        ("x-forwarded-for", long(",")),
        ("origin", long("https://a")),
        ("referer", long("https://a/?")),
        ("user-agent", long("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
        ("content-type", long("text/html;")),
        ("x-request-id", long("a")),
        ("connection", long("a,")),
        ("te", long("trailers,")),
        ("pragma", long("no-cache,")),
        ("via", long("1.1 a,")),
        ("accept", long("*/*;q=0.1,")),
        ("sec-fetch-site", long("cross-site ")),
    ];
    let targets = [
        long("/a/b/c/"),
        format!("/{}", long("a")),
        long("/"),
        format!("/x{}", long("/..")),
        format!("/x{}", long("/.")),
        format!("/{}", long("%2e")),
        format!("/{}", long("%")),
        format!("/{}", long("%25")),
        format!("/{}", long(";")),
        format!("/{}", long(".x/")),
        format!("/?{}", long("a&")),
        format!("/?{}", long("z=1&a=2&")),
        format!("/?{}", long("utm=1&")),
        format!("/?{}", long("=")),
        format!("/?{}", long("key=%")),
        format!("/?q={}", long("a")),
    ];
    let fields =
        fields.iter().map(|(name, value)| (Request::get("/").header(*name, value), format!("{name}: {value:.30}")));
    let targets = targets.iter().map(|target| (Request::get(&**target), format!("{target:.30}")));
    let many = (0..80).fold(Request::get("/"), |all, number| all.header("x-many", number));
    let mut slowest = (Duration::ZERO, String::new());
    for (request, name) in fields.chain(targets).chain([(many, "many fields".to_owned())]) {
        let start = Instant::now();
        let reply = gateway.send(request).await;
        let time = start.elapsed();
        assert!(reply.status < 500 && reply.status != 431, "{name}: {reply:?}");
        slowest = slowest.max((time, name));
    }
    println!("the slowest: {slowest:?}");
    // A linear parser needs less than 10 ms, also in a slow build.
    assert!(slowest.0 < Duration::from_secs(5), "{slowest:?}");
}

/// A part of a token that decodes to deep JSON: `[[[[[[[[[`.
const URL_SAFE: &str = "W1tbW1tbW1tb";

#[tokio::test]
async fn long_fields_of_responses_take_no_long_time() {
    for (name, value) in [
        ("cache-control", "max-age=60,".repeat(2000)),
        ("cache-control", "private=\"a,".repeat(2000)),
        ("cache-control", "no-cache=\"\\".repeat(2000)),
        ("cdn-cache-control", "max-age=60;a=\"b\",".repeat(1000)),
        ("cdn-cache-control", "(((((((".repeat(2000)),
        ("cdn-cache-control", "a=:::::".repeat(2000)),
        ("vary", "a,".repeat(8000)),
        ("vary", ",".repeat(16_000)),
        ("etag", "W/\"".repeat(5000)),
        ("expires", "Sun, ".repeat(3000)),
        ("cache-tag", "a,".repeat(8000)),
        ("surrogate-key", "a ".repeat(8000)),
        ("content-type", "text/html;".repeat(1500)),
        ("content-encoding", "gzip,".repeat(3000)),
        ("warning", "110 - \"".repeat(2000)),
        ("age", "1".repeat(16_000)),
    ] {
        let text = value.clone();
        let backend = Backend::answering(move |_: &Seen| {
            let fields = [("content-type", "text/plain"), ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
            let fields = fields.into_iter().filter(|field| field.0 != name);
            answer(200, &fields.chain([(name, &*text)]).collect::<Vec<_>>(), "a".repeat(2_000_000))
        })
        .expect("a free port");
        let gateway = Gateway::start(functions(), backend.address()).await;
        let start = Instant::now();
        for _ in 0..2 {
            let reply = gateway.get("/").await;
            assert_eq!((reply.status, reply.body.len()), (200, 2_000_000), "{name}: {value:.30}");
        }
        let time = start.elapsed();
        assert!(time < Duration::from_secs(5), "{name}: {value:.30}: {time:?}");
    }
}
