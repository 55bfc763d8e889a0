use equipoise::monitor::page::StatusPage;

use super::{
    chromium::Browser,
    site::{Served, Site},
};

#[tokio::test]
async fn the_page_needs_nothing_of_another_host() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    browser.until("state('web-1') === 'up'").await;
    browser.click("#theme").await;
    browser.click("#explain-form [type=submit]").await;
    browser.until("text('#explain-result .verdict b') === 'web-1'").await;
    let mut requested = browser.requested().await;
    requested.retain(|url| url.starts_with("http"));
    for url in &requested {
        assert!(url.starts_with(&served.url()), "{requested:?}");
    }
    for file in ["updates", "assets/page.css", "assets/page.js", "assets/model.js"] {
        assert!(requested.contains(&format!("{}{file}", served.url())), "{file} is not among {requested:?}");
    }
    assert_eq!(browser.console().await, [""; 0]);
    browser.end().await;
}

#[tokio::test]
async fn the_policy_lets_no_script_in() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    // What a mistake in the page could let in: an inline script, a handler in an attribute, a script and a request
    // elsewhere.
    let refused = browser
        .run_async(
            "
        const refused = [];
        const connection = new Promise((resolve) => document.addEventListener('securitypolicyviolation', (event) => {
            refused.push(event.effectiveDirective);
            if (event.effectiveDirective === 'connect-src') resolve();
        }));
        const script = document.createElement('script');
        script.textContent = 'window.hacked = 1';
        document.body.append(script);
        const button = document.createElement('button');
        button.setAttribute('onclick', 'window.hacked = 1');
        document.body.append(button);
        button.click();
        const outside = document.createElement('script');
        outside.src = 'http://127.0.0.1:9/x.js';
        const failed = new Promise((resolve) => outside.addEventListener('error', resolve));
        document.body.append(outside);
        await failed;
        const elsewhere = await fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused');
        await connection;
        return [window.hacked ?? 'no', elsewhere, [...new Set(refused)].sort().join(' ')];
    ",
        )
        .await;
    assert_eq!(refused, serde_json::json!(["no", "refused", "connect-src script-src-attr script-src-elem"]));
    browser.end().await;
}
