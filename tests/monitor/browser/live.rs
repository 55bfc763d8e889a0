use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use equipoise::{Availability, EndpointSpec, http::Upstream, monitor::page::StatusPage};
use equipoise_tests::soon;

use super::{
    chromium::Browser,
    site::{Served, Site, Traffic},
};

#[tokio::test]
async fn each_endpoint_has_a_row_with_its_state_and_its_numbers() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1", "web-2", "web-3"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    site.send(30).await;
    browser.open(&served.url()).await;
    assert_eq!(browser.run("return text('#program') + ' ' + text('#version')").await, "shop-gateway 1.2.3");
    for id in ["web-1", "web-2", "web-3"] {
        browser.until(&format!("cell({id:?}, 'total') === '10' && cell({id:?}, 'success') === '10'")).await;
        assert_eq!(browser.run(&format!("return state({id:?})")).await, "up");
        assert!(
            browser
                .run(&format!("return row({id:?}).innerText"))
                .await
                .as_str()
                .expect("text")
                .contains(&site.address(id))
        );
    }
    let names = "[...document.querySelectorAll('.table tbody .name')].map((name) => name.textContent).join()";
    assert_eq!(browser.run(&format!("return {names}")).await, "web-1,web-2,web-3");
    browser.until("text('.table tfoot td.total') === '30'").await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn numbers_and_charts_follow_the_traffic() {
    let Some(browser) = Browser::start().await else { return };
    let site = Arc::new(Site::start(&["web-1", "web-2"]).await);
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    browser.until("cell('web-1', 'rate') === '0'").await;
    let traffic = Traffic::start(&site);
    browser.until("['web-1', 'web-2'].every((id) => Number(cell(id, 'rate').replace(',', '')) > 0)").await;
    browser.until("cell('web-1', 'latency').includes('ms')").await;
    // A line that rises somewhere.
    browser
        .until("new Set(row('web-1').querySelector('td.rate .line').getAttribute('d').match(/ [\\d.]+/g)).size > 1")
        .await;
    drop(traffic);
    browser.until("cell('web-1', 'rate') === '0'").await;
    let total = site.pool.endpoints()[0].requests.total;
    browser.until(&format!("cell('web-1', 'total').replaceAll(',', '') === '{total}'")).await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn an_endpoint_that_goes_down_is_shown_within_a_second_of_its_verdict() {
    let Some(browser) = Browser::start().await else { return };
    let mut site = Site::start(&["web-1", "web-2"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    let mut times = Vec::new();
    for _ in 0..3 {
        let watch = "window.seen = null; new MutationObserver((_, observer) => {
            if (state('web-2') === 'unhealthy') { window.seen = Date.now(); observer.disconnect(); }
        }).observe(row('web-2'), { attributes: true, subtree: true });";
        browser.run(watch).await;
        site.backends[1].stop().await;
        let change = soon(site.changes.next()).await.expect("the checks go on");
        let verdict = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        assert_eq!((change.id.as_str(), change.to), ("web-2", Availability::Unhealthy));
        browser.until("state('web-2') === 'unhealthy'").await;
        let seen = browser.run("return window.seen").await.as_f64().expect("a time");
        times.push(Duration::from_secs_f64((seen / 1_000.0 - verdict.as_secs_f64()).max(0.0)));
        // With its reason, since when, in words for screen readers, and in the title of the window.
        browser.until("/^Unhealthy \\d+ s\\s+checks: /.test(cell('web-2', 'state'))").await;
        browser.until("text('#announce').startsWith('shop: web-2 is unhealthy, checks: ')").await;
        browser.until("document.title === '(1 not up) shop-gateway'").await;
        browser.until("text('#event-list li').includes('web-2: up → unhealthy')").await;
        site.backends[1].restart().expect("the same port");
        let change = soon(site.changes.next()).await.expect("the checks go on");
        assert_eq!((change.id.as_str(), change.to), ("web-2", Availability::Up));
        browser.until("state('web-2') === 'up' && text('#announce').includes('web-2 is up')").await;
        browser.until("document.title === 'shop-gateway'").await;
    }
    times.sort();
    // The state is sent at once. On a machine that is busy with other tests, the browser may get to draw it later: one
    // of the three times may be between one and two seconds.
    let limits = [1, 1, 2].map(Duration::from_secs);
    assert!(times.iter().zip(limits).all(|(time, limit)| *time <= limit), "shown after {times:?}");
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn endpoints_that_join_and_leave_are_shown() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1", "web-2"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    site.send(4).await;
    browser.open(&served.url()).await;
    let address = site.backends[0].address();
    let spec = EndpointSpec::new(&address).with_id("web-3").weight(7);
    site.pool.add(spec, Upstream::new(&address).expect("an address")).expect("a new endpoint");
    browser.until("cell('web-3', 'weight') === '7'").await;
    site.pool.remove("web-2").expect("an endpoint");
    // It is below the others with its numbers, for as long as the pool keeps them.
    browser.until("state('web-2') === 'left' && cell('web-2', 'total') === '2'").await;
    browser.until("document.querySelector('.departed').contains(row('web-2'))").await;
    browser.until("text('#event-list').includes('added web-3') && text('#event-list').includes('removed web-2')").await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn a_row_opens_with_its_checks_outcomes_and_connections() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    site.send(5).await;
    browser.open(&served.url()).await;
    browser.click(".table tbody button.open").await;
    browser.until("['Checks', 'Attempts', 'Times since the start', 'Connections'].every((title) => text('.details').includes(title))").await;
    browser.until("/http\\s+up for/.test(text('.details'))").await;
    site.send(3).await;
    browser.until("/total\\s+8/.test(text('.details'))").await;
    browser.click(".table tbody button.open").await;
    browser.until("!document.querySelector('.details')").await;
    browser.close(&served.origin()).await;
}
