//! CORS and the protection against cross-site requests, as pages in a real Chromium see them.

use std::net::SocketAddr;

use equipoise::gateway::{
    auth::{ApiKey, ApiKeys, AuthLayer},
    browser::{CorsPolicy, CsrfLayer, RequestIdLayer},
    limit::{Quota, RateLimitLayer},
    stack::Functions,
};
use equipoise_tests::{Backend, Browser, Reserved, Seen, soon};
use http::Method;
use serde_json::{Value, json};

use crate::setup::{Gateway, answer};

/// Sends a request, and returns what the page sees of the response: its status, its body, and some fields. The result is
/// the name of the error if the page may not read the response.
const ASK: &str = r#"
    const ask = async (url, init) => {
        try {
            const response = await fetch(url, init);
            const names = ["x-version", "x-hidden", "x-request-id", "retry-after", "content-type"];
            const fields = Object.fromEntries(names.map((name) => [name, response.headers.get(name)]));
            return { status: response.status, body: await response.text(), ...fields };
        } catch (error) {
            return error.name;
        }
    };
"#;

/// A site with one page, which has a form for another address.
fn site() -> Backend {
    Backend::answering(|seen: &Seen| {
        let query = seen.uri.query().unwrap_or_default();
        let page =
            format!("<!doctype html><title>page</title><form method=post action='{query}'><button>go</button></form>");
        answer(200, &[("content-type", "text/html"), ("set-cookie", "session=ada")], page)
    })
    .expect("a free port")
}

/// A backend that answers with the method and the cookie of each request.
fn backend() -> Backend {
    Backend::answering(|seen: &Seen| {
        let body = format!("{} {}", seen.method, seen.header("cookie").unwrap_or("-"));
        answer(200, &[("x-version", "7"), ("x-hidden", "1"), ("content-type", "text/plain")], body)
    })
    .expect("a free port")
}

/// Functions that allow one origin.
fn allowing(origin: &str, credentials: bool) -> Functions {
    let policy = CorsPolicy::origins([origin])
        .methods([Method::GET, Method::PUT])
        .headers(["x-token"])
        .expose(["x-version", "x-request-id", "retry-after"])
        .credentials(credentials);
    Functions::new().request_id(RequestIdLayer::new()).cors(policy.build().expect("a policy"))
}

async fn ask(browser: &Browser, gateway: SocketAddr, init: &str) -> Value {
    browser.run_async(&format!("return await ask('http://{gateway}/orders', {init});")).await
}

fn posts(backend: &Backend) -> usize {
    methods(backend).iter().filter(|method| **method == Method::POST).count()
}

fn methods(backend: &Backend) -> Vec<Method> {
    backend.seen().into_iter().map(|seen| seen.method).collect()
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_reads_what_the_policy_exposes() {
    let Some(browser) = Browser::start(ASK).await else { return };
    let (site, backend) = (site(), backend());
    let gateway = Gateway::start(allowing(&format!("http://{}", site.address()), false), backend.address()).await;
    browser.go(&format!("http://{}/", site.address())).await;

    let seen = ask(&browser, gateway.address, "{}").await;
    assert_eq!((&seen["status"], &seen["body"]), (&json!(200), &json!("GET -")));
    assert_eq!((&seen["x-version"], &seen["x-hidden"]), (&json!("7"), &Value::Null));
    assert_eq!(seen["x-request-id"].as_str().map(str::len), Some(32), "{seen}");

    // A preflight asks for the method and the field first, and does not reach the backend.
    let seen = ask(&browser, gateway.address, "{ method: 'PUT', headers: { 'x-token': 'a' }, body: 'text' }").await;
    assert_eq!((&seen["status"], &seen["body"]), (&json!(200), &json!("PUT -")));
    let refused = [
        "{ method: 'DELETE' }",
        "{ headers: { 'x-other': 'a' } }",
        "{ method: 'PUT', headers: { authorization: 'a' } }",
        "{ credentials: 'include' }",
    ];
    for init in refused {
        assert_eq!(ask(&browser, gateway.address, init).await, "TypeError", "{init}");
    }
    // Without a preflight, the last request has reached the backend: CORS only protects its response.
    assert_eq!(methods(&backend), [Method::GET, Method::PUT, Method::GET]);
    browser.end().await;
}

#[tokio::test]
async fn credentials_are_sent_to_and_read_by_allowed_origins_only() {
    let Some(browser) = Browser::start(ASK).await else { return };
    let (site, other, backend) = (site(), site(), backend());
    let gateway = Gateway::start(allowing(&format!("http://{}", site.address()), true), backend.address()).await;
    // Cookies do not depend on the port, so the gateway gets the one of the site.
    browser.go(&format!("http://{}/", site.address())).await;
    for (init, body) in [
        ("{}", "GET -"),
        ("{ credentials: 'include' }", "GET session=ada"),
        ("{ method: 'PUT', headers: { 'x-token': 'a' }, credentials: 'include' }", "PUT session=ada"),
    ] {
        let seen = ask(&browser, gateway.address, init).await;
        assert_eq!((&seen["status"], &seen["body"]), (&json!(200), &json!(body)), "{init}");
    }
    browser.go(&format!("http://{}/", other.address())).await;
    for init in ["{}", "{ credentials: 'include' }", "{ method: 'PUT' }"] {
        assert_eq!(ask(&browser, gateway.address, init).await, "TypeError", "{init}");
    }
    assert_eq!(methods(&backend), [Method::GET, Method::GET, Method::PUT, Method::GET, Method::GET]);
    browser.end().await;
}

#[tokio::test]
async fn a_page_can_read_why_its_request_has_failed() {
    let Some(browser) = Browser::start(ASK).await else { return };
    let (site, backend, closed) = (site(), backend(), Reserved::new().expect("a free port"));
    let functions = || allowing(&format!("http://{}", site.address()), false);
    let keys: ApiKeys = format!("ada:{}", ApiKeys::generate().hash).parse().expect("keys");
    let denying = functions().authenticate(AuthLayer::new(ApiKey::header(keys)));
    let limited = functions().rate_limit(RateLimitLayer::per_client(Quota::per_hour(1).burst(1)).expect("a limit"));
    let denying = Gateway::start(denying, backend.address()).await;
    let limited = Gateway::start(limited, backend.address()).await;
    let failing = Gateway::start(functions(), closed.address()).await;
    browser.go(&format!("http://{}/", site.address())).await;
    assert_eq!(ask(&browser, limited.address, "{}").await["status"], 200);
    for (gateway, status, code) in [
        (&denying, 401, json!("missing_credentials")),
        (&limited, 429, json!("rate_limited")),
        (&failing, 502, json!("backend_failed")),
    ] {
        for init in ["{}", "{ method: 'PUT', headers: { 'x-token': 'a' } }"] {
            let seen = ask(&browser, gateway.address, init).await;
            assert_eq!(seen["status"], status, "{init} {seen}");
            assert_eq!(seen["x-request-id"].as_str().map(str::len), Some(32), "{init} {seen}");
            assert_eq!(seen["content-type"], "application/problem+json");
            let document: Value = serde_json::from_str(seen["body"].as_str().expect("a body")).expect("JSON");
            assert_eq!((&document["status"], &document["code"]), (&json!(status), &code));
            assert_eq!(seen["retry-after"].is_string(), status == 429, "{seen}");
        }
    }
    assert_eq!(backend.served(), 1);
    browser.end().await;
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let Some(browser) = Browser::start(ASK).await else { return };
    let (foreign, own) = (site(), site());
    let csrf = CsrfLayer::new().exempt_path("/hook").expect("a pattern");
    let gateway = Gateway::start(Functions::new().csrf(csrf), own.address()).await;
    let port = gateway.address.port();
    let foreign = foreign.address().parse::<SocketAddr>().expect("an address").port();
    let shown = "
        const [entry] = performance.getEntriesByType('navigation');
        return [location.pathname, entry.responseStatus, document.title];
    ";
    for (page, action, status) in [
        // The page of the gateway itself.
        (format!("http://127.0.0.1:{port}/"), "/orders", 200),
        // Another port of its host, which is another origin of the same site, and another site.
        (format!("http://127.0.0.1:{foreign}/"), "/orders", 403),
        (format!("http://localhost:{foreign}/"), "/orders", 403),
        (format!("http://localhost:{port}/"), "/orders", 403),
        (format!("http://localhost:{foreign}/"), "/hook", 200),
        (format!("http://localhost:{foreign}/"), "/%2568ook", 403),
        (format!("http://localhost:{foreign}/"), "//hook", 403),
        (format!("http://localhost:{foreign}/"), "/hook;x", 403),
        (format!("http://localhost:{foreign}/"), "/HOOK", 403),
    ] {
        let before = posts(&own);
        browser.go(&format!("{page}?http://127.0.0.1:{port}{action}")).await;
        browser.click("button").await;
        let arrived = format!("return document.readyState === 'complete' && location.pathname === '{action}'");
        soon(async { while browser.run(&arrived).await != true {} }).await;
        let title = if status == 200 { "page" } else { "" };
        assert_eq!(browser.run(shown).await, json!([action, status, title]), "{page} {action}");
        assert_eq!(posts(&own) - before, usize::from(status == 200), "{page} {action}");
    }
    // A script of another site cannot read the response, and its request is not passed on either.
    browser.go(&format!("http://localhost:{foreign}/")).await;
    let before = posts(&own);
    let send = "{ method: 'POST', mode: 'no-cors', credentials: 'include', body: 'a=b' }";
    assert_eq!(ask(&browser, gateway.address, send).await["status"], 0);
    assert_eq!(posts(&own), before);
    browser.end().await;
}
