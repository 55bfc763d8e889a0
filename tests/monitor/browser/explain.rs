use equipoise::{PickRequest, Rendezvous, monitor::page::StatusPage};

use super::{
    chromium::Browser,
    site::{Served, Site},
};

#[tokio::test]
async fn the_form_explains_the_pick_of_the_pool() {
    let Some(browser) = Browser::start().await else { return };
    let ids = ["web-1", "web-2", "web-3", "web-4"];
    let site = Site::with(&ids, Rendezvous::new()).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    browser.click(".pool .heading button").await;
    browser.until("document.activeElement.id === 'explain-pool'").await;
    // Keys whose endpoints differ.
    for key in ["ada", "grace", "edsger", "barbara"] {
        let expected = site.pool.explain(&PickRequest::new().key(key.as_bytes())).picked.expect("an endpoint");
        browser.run("document.querySelector('#explain-form').reset(); document.querySelector('#explain-result').replaceChildren()").await;
        browser.enter("[name=key]", key).await;
        browser.click("#explain-form [type=submit]").await;
        browser.until(&format!("text('#explain-result .verdict b') === {:?}", expected.as_str())).await;
        let rows = browser.run("return [...document.querySelectorAll('#explain-result tbody tr')].map((row) => row.cells[0].innerText)").await;
        let mut rows: Vec<_> = rows.as_array().expect("rows").iter().map(|id| id.as_str().expect("an id")).collect();
        assert_eq!(rows[0], expected.as_str());
        rows.sort_unstable();
        assert_eq!(rows, ids);
    }
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn candidates_have_the_reasons_why_they_are_not_picked() {
    let Some(browser) = Browser::start().await else { return };
    let mut site = Site::start(&["web-1", "web-2", "web-3"]).await;
    site.health.set_admin_state("web-2", equipoise::health::AdminState::Maintenance);
    equipoise_tests::soon(site.changes.next()).await.expect("the checks go on");
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    browser.click("#explain-form [type=submit]").await;
    browser.until("/web-2.*Maintenance.*in maintenance/s.test(text('#explain-result table'))").await;
    assert_eq!(browser.run("return document.querySelectorAll('#explain-result .picked').length").await, 1);
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_what_would_be_right() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    browser.enter("[name=client]", "localhost").await;
    browser.click("#explain-form [type=submit]").await;
    browser.until("text('#explain-result .error')?.includes('use one such as 192.0.2.1')").await;
    // Chromium itself writes to the console that there was an error.
    assert!(browser.console().await.iter().all(|message| message.contains("400 (Bad Request)")));
    browser.close(&served.origin()).await;
}
