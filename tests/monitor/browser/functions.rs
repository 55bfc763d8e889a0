use std::{convert::Infallible, time::Duration};

use equipoise::{
    EndpointSpec, Pool,
    gateway::{
        auth::jwt::{Jwt, Keys},
        limit::{Limit, LimitKey, Quota, RateLimitLayer, RedisLimits},
    },
    http::{HttpClient, Upstream},
    monitor::{Monitor, WatchedFunction, page::StatusPage},
};
use equipoise_tests::{Backend, soon};
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};

use super::{chromium::Browser, site::Served};
use crate::api::Api;

#[path = "../../../crates/equipoise-affinity/tests/redis/server.rs"]
#[allow(dead_code, clippy::unwrap_used, reason = "these tests use a part of it, and in a test, a panic is the answer")]
mod server;

/// A public key for tokens.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// Returns an expression of scripts, which can use the names of all functions in their order, the text of a fact of a
/// function, and its problems.
fn page(expression: &str) -> String {
    format!(
        "(() => {{
            const all = [...document.querySelectorAll('.function')];
            const name = (of) => of.querySelector('h3').firstChild.textContent;
            const names = all.map(name).join();
            const find = (wanted) => all.find((of) => name(of) === wanted);
            const fact = (of, title) => [...find(of)?.querySelectorAll('.facts div') ?? []].find((fact) => fact.firstChild.textContent === title)?.lastChild.textContent;
            const problems = (of) => [...find(of)?.querySelectorAll('[data-state=unhealthy]') ?? []].map((problem) => problem.innerText).join();
            return {expression};
        }})()"
    )
}

async fn until(browser: &Browser, condition: &str) {
    browser.until(&page(condition)).await;
}

/// Returns whether the section of functions, and the link to it, can be seen.
async fn is_shown(browser: &Browser) -> [bool; 2] {
    let seen = |selector| format!("return document.querySelector('{selector}').checkVisibility()");
    [browser.run(&seen("#functions")).await == true, browser.run(&seen("nav [href=\"#functions\"]")).await == true]
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_a_problem_until_they_can_be_read_again() {
    let Some(browser) = Browser::start().await else { return };
    let mut issuer = Backend::start(KEYS).expect("a free port");
    let pool = Pool::default();
    pool.try_update([EndpointSpec::new(issuer.address())], |spec| Upstream::new(spec.address())).expect("an address");
    let url = format!("http://{}/jwks", issuer.address()).parse().expect("a URL");
    let keys = Keys::url(url, HttpClient::new(pool)).refresh_interval(Duration::from_secs(1));
    let keys = keys.start().expect("valid settings");
    assert!(soon(keys.ready()).await);
    let jwt = Jwt::builder(keys).issuer("https://issuer.test").audience("api").build().expect("a scheme");
    let monitor = Monitor::new();
    monitor.build_info("api-gateway", "1.2.3");
    let served = Served::start(StatusPage::new(&monitor));
    browser.open(&served.url()).await;
    assert_eq!(is_shown(&browser).await, [false, false]);
    // The page that is open shows them when they come.
    monitor.add_function(WatchedFunction::new("site maintenance", |_| {}));
    monitor.add_function(WatchedFunction::new("api auth", move |into| into.jwt("my_issuer", &jwt.stats())));
    until(&browser, "/^1 usable, read \\d+ s ago$/.test(fact('api auth', 'Keys of my_issuer'))").await;
    assert_eq!(is_shown(&browser).await, [true, true]);
    until(&browser, "names === 'site maintenance,api auth' && problems('api auth') === ''").await;

    issuer.stop().await;
    until(&browser, "/^Problem keys of my_issuer: the request failed: /.test(problems('api auth'))").await;
    // In the title of the window, above the pools, and in words for screen readers. It is above those that work.
    until(&browser, "names === 'api auth,site maintenance'").await;
    browser.until("document.title === '(1 function with a problem) api-gateway'").await;
    browser.until("text('#summary').includes('1 function with a problem')").await;
    browser.until("text('#function-tally') === '1 of 2 with a problem'").await;
    browser.until("text('#announce').startsWith('api auth has a problem: keys of my_issuer: ')").await;
    // The last good keys stay in use.
    until(&browser, "/^1 usable, read \\d+ s ago, \\d+ failed reads$/.test(fact('api auth', 'Keys of my_issuer'))")
        .await;

    issuer.restart().expect("the same port");
    until(&browser, "problems('api auth') === '' && names === 'site maintenance,api auth'").await;
    browser.until("text('#announce') === 'api auth works again' && document.title === 'api-gateway'").await;
    browser.until("text('#function-tally') === ''").await;
    // The section goes with the functions.
    monitor.replace_functions([]);
    browser.until("document.querySelector('#functions').hidden").await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn a_limit_whose_redis_is_away_tells_so_and_counts_the_decisions_of_its_fallback() {
    let Some(browser) = Browser::start().await else { return };
    let Some(mut redis) = server::Server::start(&[]).await else { return };
    let limits = RedisLimits::new(redis.url()).timeout(Duration::from_secs(10));
    let limits = limits.backoff(Duration::from_millis(5), Duration::from_millis(50));
    let limit = Limit::new("all", LimitKey::global(), Quota::per_hour(9).burst(9));
    let layer = RateLimitLayer::builder().limit(limit).redis(limits).build().expect("a limit");
    let service = layer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
    let send = async || service.clone().oneshot(Request::new(())).await.expect("a response").status();
    let monitor = Monitor::new();
    monitor.add_function(WatchedFunction::new("site limit", move |into| {
        into.rate_limits(&layer.stats());
        into.rate_limit_redis(&layer.redis_stats().expect("limits in Redis"));
    }));
    let served = Served::start(StatusPage::new(&monitor));
    browser.open(&served.url()).await;
    until(&browser, "fact('site limit', 'Redis') === 'connected' && problems('site limit') === ''").await;
    assert_eq!(send().await, 200);
    until(&browser, "fact('site limit', 'Decided by') === 'redis 1'").await;
    redis.kill();
    until(
        &browser,
        "fact('site limit', 'Redis') === 'not connected' && problems('site limit').startsWith('Problem Redis: ')",
    )
    .await;
    assert_eq!(send().await, 200);
    until(&browser, "fact('site limit', 'Decided by') === 'redis 1, fallback 1'").await;
    until(&browser, "fact('site limit', 'Limit all').startsWith('admitted 2, ')").await;
    redis.spawn().await;
    until(&browser, "fact('site limit', 'Redis') === 'connected' && problems('site limit') === ''").await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn each_function_shows_what_it_has_counted() {
    let Some(browser) = Browser::start().await else { return };
    let monitor = Monitor::new();
    let api = Api::new(&monitor);
    let served = Served::start(StatusPage::new(&monitor));
    browser.open(&served.url()).await;
    until(&browser, "fact('api cache', 'Hit ratio') === '–' && fact('api cache', 'Hits') === 'none'").await;
    assert_eq!(
        browser.run("return [...document.querySelectorAll('.function h3 .muted')].map((kind) => kind.innerText)").await,
        serde_json::json!(["rate limit", "authentication", "compression", "cache, cache store", "decompression"])
    );
    api.use_it().await;
    for (function, fact, text) in [
        ("api limit", "Limit all", "admitted 8, denied 2, 1 key"),
        ("api auth", "Requests", "allowed 7, missing 1"),
        ("api auth", "Scheme api key", "accepted 7, missing 1"),
        ("api cache", "Hit ratio", "60.0 %"),
        ("api cache", "Misses", "2"),
        ("api cache", "Other requests", "invalidating 2"),
        ("api cache", "Stored", "1"),
        ("api cache", "Not stored", "private 1"),
        ("api cache", "Store errors", "0"),
        ("api decompression", "Decompressed", "gzip 1"),
        ("api decompression", "Refused", "unsupported 1"),
    ] {
        until(&browser, &format!("fact('{function}', '{fact}') === '{text}'")).await;
    }
    until(&browser, "/^[5-9]\\.\\d kB of 1\\.0 MB, 1 key$/.test(fact('api cache', 'Size'))").await;
    until(&browser, "/^\\d+ kB → \\d+ B$/.test(fact('api compression', 'Bytes'))").await;
    browser.close(&served.origin()).await;
}
