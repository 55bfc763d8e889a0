use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use equipoise::{
    Availability,
    affinity::{Affinity, AffinityLayer, Mode, key::SessionKey, table::SessionTable},
    http::HttpClient,
    monitor::{WatchedListener, WatchedPool, page::StatusPage, report::CertificateReport},
};
use equipoise_tests::soon;
use http::Request;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};

use super::{
    chromium::Browser,
    site::{Served, Site},
};

/// A function for scripts: the text of a fact of the pool, with its name.
const FACT: &str = "const fact = (name) => [...document.querySelectorAll('.pool .facts div')]
    .find((fact) => fact.firstChild.textContent === name)?.lastChild.textContent;";

#[tokio::test]
async fn counters_of_sessions_and_health_are_shown_once_they_are_not_zero() {
    let Some(browser) = Browser::start().await else { return };
    let mut site = Site::start(&["web-1", "web-2"]).await;
    let table = SessionTable::builder().capacity(1_000).build().expect("valid settings");
    let user = SessionKey::header("x-user").expect("a name");
    let affinity = Affinity::new(&site.pool, Mode::table(user, Arc::new(table))).expect("a valid mode");
    site.monitor.add_pool(WatchedPool::new("shop", &site.pool).health(&site.health).affinity(&affinity));
    let client = AffinityLayer::new(affinity).layer(HttpClient::new(site.pool.clone()));
    let send = async || {
        let request = Request::get("/").header("x-user", "ada").body(Full::<Bytes>::default()).expect("a request");
        let response = client.clone().oneshot(request).await.expect("a response");
        response.into_body().collect().await.expect("a body");
    };
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    let fact = |name: &str, text: &str| format!("(() => {{ {FACT} return fact('{name}') === '{text}'; }})()");
    browser.until(&fact("Sessions", "none")).await;
    browser.until(&fact("Requests", "0")).await;
    let names = format!("{FACT} return ['Not bound on arrival', 'Sessions moved', 'Diverted', 'Pauses'].filter(fact)");
    assert_eq!(browser.run(&names).await, serde_json::json!([]));
    for _ in 0..3 {
        send().await;
    }
    browser.until(&fact("Sessions", "kept 2, new 1")).await;
    browser.until(&fact("Not bound on arrival", "unknown 1")).await;
    browser.until(&fact("Session store", "table, 1 of 1,000 sessions")).await;
    let first = usize::from(site.pool.endpoints()[0].requests.total == 0);
    site.backends[first].stop().await;
    let change = soon(site.changes.next()).await.expect("the checks go on");
    assert_eq!(change.to, Availability::Unhealthy);
    send().await;
    browser.until(&fact("Sessions moved", "unhealthy 1")).await;
    browser.until(&fact("Requests", "4")).await;
    browser
        .until(&format!(
            "(() => {{ {FACT} return /^http passed [\\d,]+, http failed [\\d,]+$/.test(fact('Probes')); }})()"
        ))
        .await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn the_bytes_of_an_endpoint_that_leaves_stay_in_the_total_of_its_pool() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1", "web-2"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    site.send(4).await;
    let pool = site.monitor.snapshot().pools.remove(0);
    let connections: Vec<_> = pool.endpoints.iter().filter_map(|endpoint| endpoint.connections.as_ref()).collect();
    let (sent, received) = (
        connections.iter().map(|it| it.bytes_sent).sum::<u64>(),
        connections.iter().map(|it| it.bytes_received).sum::<u64>(),
    );
    assert!((1..1_000).contains(&sent) && (1..1_000).contains(&received), "{sent} and {received}");
    let totals =
        format!("text('.table tfoot td.sent') === '{sent} B' && text('.table tfoot td.received') === '{received} B'");
    browser.until(&totals).await;
    site.pool.remove("web-2").expect("an endpoint");
    browser.until("state('web-2') === 'left'").await;
    browser.until(&totals).await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn certificates_are_marked_14_days_and_3_days_before_they_expire() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let now = SystemTime::now();
    site.monitor.add_listener(WatchedListener::new("127.0.0.1:443", "http").certificates(move |all| {
        for hours in [14 * 24 + 1, 14 * 24 - 1, 3 * 24 + 1, 3 * 24 - 1] {
            let expiry = now + Duration::from_secs(hours * 3_600);
            all.push(CertificateReport::new("site.pem", vec!["shop.example.com".to_owned()], false, expiry));
        }
    }));
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    let states = "[...document.querySelectorAll('#listener-list li')].map((it) => it.dataset.state).join()";
    browser.until(&format!("{states} === 'up,probation,probation,unhealthy'")).await;
    browser.close(&served.origin()).await;
}
