use equipoise::{Availability, monitor::page::StatusPage};

use super::{
    chromium::Browser,
    site::{Served, Site},
};

#[tokio::test]
async fn the_page_tells_that_its_data_is_old_and_connects_again() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1", "web-2"]).await;
    let mut served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    // What the user has set up stays.
    browser.enter("#search", "web-1").await;
    browser.click("th.id button").await;
    browser.click(".table tbody tr:not([hidden]) button.open").await;
    served.stop().await;
    browser.until("/^Reconnecting, data is \\d+ s old$/.test(text('#connection-text'))").await;
    site.pool.set_availability("web-2", Availability::Maintenance).expect("an endpoint");
    served.restart();
    browser.until("text('#connection-text') === 'Live'").await;
    browser.until("state('web-2') === 'maintenance'").await;
    assert_eq!(browser.run("return document.querySelector('#search').value").await, "web-1");
    assert_eq!(browser.run("return row('web-2').hidden").await, true);
    assert_eq!(browser.run("return document.querySelector('th.id').getAttribute('aria-sort')").await, "ascending");
    assert_eq!(browser.run("return document.querySelectorAll('.details').length").await, 1);
    browser.end().await;
}

#[tokio::test]
async fn the_page_works_below_any_path() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor).at("/deep/status/"));
    browser.open(&format!("{}deep/status", served.url())).await;
    browser.until("state('web-1') === 'up'").await;
    browser.click("#explain-form [type=submit]").await;
    browser.until("text('#explain-result .verdict b') === 'web-1'").await;
    browser.close(&served.origin()).await;
}
