use equipoise::{
    Availability, EndpointSpec, Pool, RoundRobin,
    monitor::{Monitor, WatchedPool, page::StatusPage},
};

use super::{chromium::Browser, site::Served};

/// A pool of 1 000 endpoints without health checks.
fn thousand() -> (Pool<()>, Monitor) {
    let pool = Pool::new(RoundRobin::new());
    let specs =
        (0..1000).map(|n| EndpointSpec::new(format!("10.0.{}.{}:80", n / 250, n % 250)).with_id(format!("web-{n}")));
    pool.update(specs, |_| ()).expect("endpoints");
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("large", &pool));
    (pool, monitor)
}

#[tokio::test]
async fn one_of_1000_endpoints_is_found() {
    let Some(browser) = Browser::start().await else { return };
    let (pool, monitor) = thousand();
    for n in [7, 77, 777] {
        pool.set_availability(format!("web-{n}"), Availability::Maintenance).expect("an endpoint");
    }
    let served = Served::start(StatusPage::new(&monitor));
    browser.open(&served.url()).await;
    let shown = "[...document.querySelectorAll('.table tbody tr:not([hidden]) .name')].map((name) => name.textContent)";
    browser.enter("#search", "web-777").await;
    browser.until(&format!("{shown}.join() === 'web-777'")).await;
    browser.until("text('#found') === '1 of 1,000 endpoints'").await;
    // By address and by several words.
    browser.run("document.querySelector('#search').value = ''").await;
    browser.enter("#search", "10.0.3.5 web-8").await;
    browser.until(&format!("{shown}.length === 10")).await;
    browser.press("\u{e00c}").await;
    browser.until("document.querySelector('#search').value === '' && text('#found') === ''").await;
    browser.run("const filter = document.querySelector('#filter'); filter.value = 'maintenance'; filter.dispatchEvent(new Event('change'))").await;
    browser.until(&format!("{shown}.join() === 'web-7,web-77,web-777'")).await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn the_table_is_sorted_by_each_column() {
    let Some(browser) = Browser::start().await else { return };
    let (pool, monitor) = thousand();
    pool.set_weight("web-500", 9).expect("an endpoint");
    pool.set_availability("web-900", Availability::Unhealthy).expect("an endpoint");
    let served = Served::start(StatusPage::new(&monitor));
    browser.open(&served.url()).await;
    let first = "document.querySelector('.table tbody .name').textContent";
    browser.click("th.weight button").await;
    browser.until(&format!("{first} === 'web-500'")).await;
    assert_eq!(browser.run("return document.querySelector('th.weight').getAttribute('aria-sort')").await, "descending");
    browser.click("th.state button").await;
    browser.until(&format!("{first} === 'web-900'")).await;
    browser.click("th.id button").await;
    browser.until(&format!("{first} === 'web-0'")).await;
    browser.click("th.id button").await;
    browser.until(&format!("{first} === 'web-999'")).await;
    // In the order of the pool again.
    browser.click("th.id button").await;
    browser.until(&format!("{first} === 'web-0'")).await;
    assert_eq!(
        browser.run("return document.querySelectorAll('[aria-sort=ascending], [aria-sort=descending]').length").await,
        0
    );
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn only_the_rows_that_have_changed_are_written() {
    let Some(browser) = Browser::start().await else { return };
    let (pool, monitor) = thousand();
    let served = Served::start(StatusPage::new(&monitor));
    browser.open(&served.url()).await;
    // Rows outside of the view have only their id and their state.
    browser.until("row('web-0').cells.length > 10").await;
    assert_eq!(browser.run("return row('web-900').cells.length").await, 2);
    browser.run("
        window.written = new Set();
        new MutationObserver((changes) => {
            for (const { target } of changes) {
                const id = target.parentElement?.closest('tr')?.querySelector('.name')?.textContent;
                if (id) window.written.add(id);
            }
        }).observe(document.querySelector('.table tbody'), { subtree: true, childList: true, attributes: true, characterData: true });
    ").await;
    for id in ["web-3", "web-900"] {
        pool.set_availability(id, Availability::Draining).expect("an endpoint");
        browser.until(&format!("state({id:?}) === 'draining'")).await;
    }
    // An update of the next second.
    let lease = pool.pick(&equipoise::PickRequest::new()).expect("an endpoint");
    browser.until("text('.tile.in-flight b') === '1'").await;
    let busy = lease.endpoint().id().to_string();
    drop(lease);
    browser.until("text('.tile.in-flight b') === '0'").await;
    let written = browser.run("return [...window.written].sort()").await;
    let mut expected = vec![busy.as_str(), "web-3", "web-900"];
    expected.sort_unstable();
    // The row that was busy is only written if it is in the view.
    expected.retain(|id| *id != busy || written.as_array().expect("ids").iter().any(|written| written == *id));
    assert_eq!(written, serde_json::json!(expected));
    browser.close(&served.origin()).await;
}
