//! Cache poisoning: a client makes the cache store a response that harms other clients.

use equipoise::gateway::{
    cache::KeyPolicy,
    filter::{FieldEdits, FieldsLayer, UriLayer, UriPolicy},
    stack::Functions,
};
use equipoise_tests::{Backend, Seen};
use http::{HeaderName, Request};

use crate::setup::{Gateway, Reply, answer, cache};

/// A backend that puts all fields that frameworks use for URLs into a page that may be cached.
fn reflecting() -> Backend {
    Backend::answering(|seen: &Seen| {
        let fields = seen.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
        let text: String = fields.collect();
        answer(200, &[("cache-control", "max-age=60"), ("content-type", "text/html")], text)
    })
    .expect("a free port")
}

/// A backend that tells which host and path it has got.
fn telling() -> Backend {
    Backend::answering(|seen: &Seen| {
        let text = format!("{} {}", seen.header("host").unwrap_or_default(), seen.uri);
        answer(200, &[("cache-control", "max-age=60"), ("content-type", "text/plain")], text)
    })
    .expect("a free port")
}

/// Returns whether an attacker's field is in the response that a victim gets afterwards.
async fn poisons(functions: Functions, name: &str, value: &str) -> bool {
    let backend = reflecting();
    let gateway = Gateway::start(functions, backend.address()).await;
    let attack = gateway.send(Request::get("/").header(name, value)).await;
    assert_eq!(attack.status, 200, "{name}: {value}");
    let victim = gateway.get("/").await;
    assert_eq!(victim.status, 200);
    victim.text().contains(value)
}

#[tokio::test]
async fn fields_of_proxies_that_a_client_forges_reach_no_other_client() {
    let forged = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-port", "6666"),
        ("x-forwarded-prefix", "/evil"),
        ("x-forwarded-server", "evil.test"),
        ("x-forwarded-scheme", "evil"),
        ("x-forwarded-proto", "evil"),
        ("x-forwarded-ssl", "evil"),
        ("x-forwarded-path", "/evil"),
        ("x-real-ip", "6.6.6.6"),
        ("forwarded", "host=evil.test"),
    ];
    for (name, value) in forged {
        assert!(!poisons(Functions::new().cache(cache(|cache| cache)), name, value).await, "{name}");
    }
}

#[tokio::test]
async fn a_forged_scheme_has_no_cache_of_its_own() {
    let backend = reflecting();
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    for scheme in ["https", "http", "HTTPS", "https, http", "wss"] {
        let reply = gateway.send(Request::get("/").header("x-forwarded-proto", scheme)).await;
        assert!(reply.text().contains("x-forwarded-proto: http\n"), "{scheme}");
    }
    assert_eq!(backend.served(), 1);
}

#[tokio::test]
async fn known_fields_that_a_backend_believes_reach_no_other_client() {
    for name in ["x-host", "x-original-host", "x-original-url", "x-rewrite-url", "x-http-method-override"] {
        assert!(!poisons(Functions::new().cache(cache(|cache| cache)), name, "/evil").await, "{name}");
    }
}

#[tokio::test]
async fn an_unknown_field_that_a_backend_believes_poisons_until_it_is_removed_or_part_of_the_key() {
    let name = "x-app-base";
    // Without a setting: that is why the documentation warns of such fields.
    assert!(poisons(Functions::new().cache(cache(|cache| cache)), name, "/evil").await);

    let removed = FieldsLayer::new().request(FieldEdits::new().remove(name).expect("a name"));
    let functions = Functions::new().cache(cache(|cache| cache)).backend_fields(removed);
    assert!(!poisons(functions, name, "/evil").await, "removed");

    let key = KeyPolicy::new().field(HeaderName::from_static(name));
    let functions = Functions::new().cache(cache(|cache| cache.key(key)));
    assert!(!poisons(functions, name, "/evil").await, "in the key");
}

#[tokio::test]
async fn a_field_that_the_backend_names_in_vary_reaches_no_other_client() {
    let backend = Backend::answering(|seen: &Seen| {
        let origin = seen.header("origin").unwrap_or("none").to_owned();
        let fields = [("cache-control", "max-age=60"), ("vary", "origin"), ("access-control-allow-origin", &*origin)];
        answer(200, &fields, origin.clone())
    })
    .expect("a free port");
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    for origin in ["https://evil.test", "https://app.test", "https://evil.test"] {
        let reply = gateway.send(Request::get("/").header("origin", origin)).await;
        assert_eq!((reply.text(), reply.header("access-control-allow-origin")), (origin, origin));
    }
    assert_eq!(gateway.get("/").await.text(), "none");
    assert_eq!(backend.served(), 3);
}

#[tokio::test]
async fn an_error_that_a_client_provokes_is_no_error_for_others() {
    let backend = Backend::answering(|seen: &Seen| match seen.header("x-oversized") {
        Some(_) => answer(400, &[], "bad request"),
        None => answer(200, &[("cache-control", "max-age=60")], "good"),
    })
    .expect("a free port");
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    let attack = gateway.send(Request::get("/").header("x-oversized", "x".repeat(5000))).await;
    assert_eq!(attack.status, 400);
    let victim = gateway.get("/").await;
    assert_eq!((victim.status, victim.text()), (200, "good"));
}

#[tokio::test]
async fn a_body_of_get_reaches_no_other_client() {
    let backend = Backend::answering(|seen: &Seen| answer(200, &[("cache-control", "max-age=60")], seen.body.clone()))
        .expect("a free port");
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    let attack = gateway.send_body(Request::get("/"), "evil").await;
    assert_eq!(attack.text(), "evil");
    assert_eq!(gateway.get("/").await.text(), "");
}

/// Sends a request with exactly this target and these hosts.
async fn raw(gateway: &Gateway, target: &str, hosts: &[&str]) -> String {
    let hosts: String = hosts.iter().map(|host| format!("host: {host}\r\n")).collect();
    gateway.exchange(format!("GET {target} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).await
}

#[tokio::test]
async fn the_response_to_another_spelling_of_the_host_is_given_to_no_other_client() {
    for attack in ["APP.test", "app.test:80", "App.Test:80"] {
        let backend = telling();
        let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
        for _ in 0..2 {
            assert!(raw(&gateway, "/", &[attack]).await.contains("; fwd=bypass"), "{attack}");
        }
        let victim = raw(&gateway, "/", &["app.test"]).await;
        assert!(victim.contains("; fwd=uri-miss") && victim.ends_with("\r\n\r\napp.test /"), "{attack}: {victim}");
        assert!(raw(&gateway, "/", &["app.test"]).await.contains("; hit"));
    }
}

#[tokio::test]
async fn another_host_has_a_response_of_its_own() {
    let backend = telling();
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    raw(&gateway, "/", &["app.test"]).await;
    for host in ["evil.test", "app.test:8080", "app.test.evil.test", "sub.app.test", "app.test."] {
        let reply = raw(&gateway, "/", &[host]).await;
        assert!(!reply.contains("; hit"), "{host}: {reply}");
    }
    let victim = raw(&gateway, "/", &["app.test"]).await;
    assert!(victim.contains("; hit") && victim.ends_with("app.test /"), "{victim}");
}

#[tokio::test]
async fn the_host_of_the_target_counts_for_the_key_and_for_the_backend() {
    let backend = telling();
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    for (target, host) in [("http://evil.test/", "app.test"), ("http://app.test/", "evil.test")] {
        let reply = raw(&gateway, target, &[host]).await;
        // Refused, or one host for all.
        let named = target.trim_start_matches("http://").trim_end_matches('/');
        assert!(reply.starts_with("HTTP/1.1 400") || reply.contains(&format!("\r\n\r\n{named} /")), "{reply}");
    }
    assert!(raw(&gateway, "/", &["app.test"]).await.ends_with("\r\n\r\napp.test /"));
    assert!(raw(&gateway, "/", &["evil.test"]).await.ends_with("\r\n\r\nevil.test /"));
}

#[tokio::test]
async fn hosts_that_are_none_and_several_hosts_are_refused() {
    let backend = telling();
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    let wrong: [&[&str]; 9] = [
        &["app.test", "evil.test"],
        &["app.test", "app.test"],
        &["app.test, evil.test"],
        &["app.test/evil"],
        &["evil@app.test"],
        &["app.test#evil"],
        &["app.test?evil"],
        &["app.test evil"],
        &[],
    ];
    for hosts in wrong {
        let reply = raw(&gateway, "/", hosts).await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{hosts:?}: {reply}");
    }
    assert_eq!(backend.served(), 0);
}

/// Paths that some servers take for `/account`.
const ALIASES: [&str; 16] = [
    "/account",
    "/static/../account",
    "/static/..%2faccount",
    "/static/%2e%2e/account",
    "/static%2f..%2faccount",
    "//account",
    "/./account",
    "/account/.",
    "/account/",
    "/account;x.css",
    "/account%3bx.css",
    "/%61ccount",
    "/static/..%5caccount",
    "/static/..%252faccount",
    "/account%00",
    "/ACCOUNT",
];

#[tokio::test]
async fn a_path_gets_only_what_the_backend_answers_to_it() {
    let policies =
        [None, Some(UriPolicy::new()), Some(UriPolicy::normalizing()), Some(UriPolicy::new().keep_encodings(true))];
    for policy in policies {
        let functions = || match &policy {
            Some(policy) => Functions::new().uri(UriLayer::new(policy.clone())),
            None => Functions::new(),
        };
        let backend = telling();
        let plain = Gateway::start(functions(), backend.address()).await;
        let cached = Gateway::start(functions().cache(cache(|cache| cache)), backend.address()).await;
        for _ in 0..2 {
            for path in ALIASES {
                let (expected, found) = (plain.get(path).await, cached.get(path).await);
                assert_eq!((found.status, found.text()), (expected.status, expected.text()), "{policy:?} {path}");
            }
        }
        assert!(cached.get("/account").await.is_hit());
    }
}

#[tokio::test]
async fn ambiguous_paths_reach_neither_the_cache_nor_the_backend() {
    let backend = telling();
    let functions = Functions::new().uri(UriLayer::default()).cache(cache(|cache| cache));
    let gateway = Gateway::start(functions, backend.address()).await;
    let same = ["/account", "/account/", "/%61ccount", "/static/..%252faccount", "/ACCOUNT"];
    for path in ALIASES.into_iter().filter(|path| !same.contains(path)) {
        let reply = gateway.get(path).await;
        assert_eq!(reply.status, 400, "{path}");
        // The checks of the reverse proxy refuse `%00` before.
        assert!(path == "/account%00" || reply.code() == "ambiguous_path", "{path}");
    }
    assert_eq!(backend.served(), 0);
}

/// A backend that, as several frameworks do, also separates parameters by `;`, decodes names, and takes the last
/// value of a parameter.
fn callback() -> Backend {
    Backend::answering(|seen: &Seen| {
        let query = seen.uri.query().unwrap_or_default().replace("%6b", "k");
        let last = query.split(['&', ';']).filter_map(|part| part.strip_prefix("callback=")).next_back();
        answer(200, &[("cache-control", "max-age=60")], last.unwrap_or("none").to_owned())
    })
    .expect("a free port")
}

#[tokio::test]
async fn a_parameter_cannot_hide_in_one_that_is_not_part_of_the_key() {
    let backend = callback();
    let policies = [
        KeyPolicy::new().without_parameters(["utm_content"]),
        KeyPolicy::new().only_parameters(["callback"]),
        KeyPolicy::new().without_parameters(["utm_content"]).sorted_query(),
    ];
    for (number, policy) in policies.into_iter().enumerate() {
        let functions = Functions::new().cache(cache(|cache| cache.key(policy)));
        let gateway = Gateway::start(functions, backend.address()).await;
        let attacks = [
            "/?callback=good&utm_content=x;callback=evil",
            "/?callback=good;callback=evil",
            "/?callback=good&utm_content=x&callback=evil",
            "/?callback=good&callbac%6b=evil",
        ];
        for attack in attacks {
            gateway.get(attack).await;
        }
        assert_eq!(gateway.get("/?callback=good").await.text(), "good", "policy {number}");
        assert_eq!(gateway.get("/?callback=good&utm_content=y").await.text(), "good", "policy {number}");
    }
}

#[tokio::test]
async fn conditional_and_partial_requests_of_a_client_shorten_no_response_of_others() {
    let backend = Backend::answering(|seen: &Seen| {
        let fields = [("cache-control", "max-age=60"), ("etag", "\"v1\"")];
        if seen.header("range").is_some() {
            return answer(206, &[fields[0], fields[1], ("content-range", "bytes 0-1/10")], "01");
        }
        match seen.header("if-none-match") {
            Some(_) => answer(304, &fields, ""),
            None => answer(200, &fields, "0123456789"),
        }
    })
    .expect("a free port");
    for (name, value) in [("range", "bytes=0-1"), ("if-none-match", "\"v1\"")] {
        let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
        gateway.send(Request::get("/").header(name, value)).await;
        gateway.send(Request::head("/").header(name, value)).await;
        let victim = gateway.get("/").await;
        assert_eq!((victim.status, victim.text()), (200, "0123456789"), "{name}");
    }
}

#[tokio::test]
async fn the_authority_of_http_2_counts_for_the_key_and_for_the_backend() {
    let backend = telling();
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    let mut http2 = gateway.connect_http2().await;
    for (authority, host) in [("app.test", "evil.test"), ("evil.test", "app.test")] {
        let request = Request::get(format!("http://{authority}/")).header("host", host);
        let request = request.body(http_body_util::Full::default()).expect("a request");
        let reply = Reply::read(http2.send_request(request).await.expect("a response")).await;
        // Refused, or one host for all.
        assert!(reply.status == 400 || reply.text() == format!("{authority} /"), "{authority} {host}: {reply:?}");
    }
    for host in ["app.test", "evil.test"] {
        let reply = gateway.send(Request::get("/").header("host", host)).await;
        assert_eq!(reply.text(), format!("{host} /"));
    }
}

#[tokio::test]
async fn responses_for_one_user_reach_no_other() {
    let backend = Backend::answering(|seen: &Seen| {
        let user = seen.header("authorization").unwrap_or("nobody").to_owned();
        let cookie = format!("session={user}");
        let fields = [("cache-control", "max-age=60"), ("set-cookie", &*cookie)];
        answer(200, if seen.uri == "/login" { &fields } else { &fields[..1] }, user)
    })
    .expect("a free port");
    let gateway = Gateway::start(Functions::new().cache(cache(|cache| cache)), backend.address()).await;
    for path in ["/page", "/login"] {
        for user in ["Bearer ada", "Bearer bob", "Bearer ada"] {
            let reply = gateway.send(Request::get(path).header("authorization", user)).await;
            assert_eq!(reply.text(), user, "{path}");
        }
        assert_eq!(gateway.get(path).await.text(), "nobody", "{path}");
        assert_eq!(gateway.get(path).await.is_hit(), path == "/page", "{path}");
    }
}
