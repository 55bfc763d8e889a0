use equipoise::{
    Availability,
    monitor::page::{Operator, Refused, StatusPage},
};
use equipoise_tests::soon;
use http::request::Parts;

use super::{
    chromium::Browser,
    site::{Foreign, Served, Site},
};

/// Accepts everyone, as a program does that only listens on loopback.
fn anyone(_: &Parts) -> Result<Operator, Refused> {
    Ok(Operator::new("ada"))
}

/// Chooses a state in the dialog, and sends it.
async fn set(browser: &Browser, id: &str, state: &str) {
    browser.until(&format!("row({id:?})?.querySelector('.change')")).await;
    browser.run(&format!("row({id:?}).querySelector('.change').focus()")).await;
    browser.press("\u{e007}").await;
    browser.until("document.querySelector('#control').open").await;
    browser.click(&format!("#control [value={state}]")).await;
    browser.click("#control [type=submit]").await;
    browser.until("!document.querySelector('#control').open").await;
}

#[tokio::test]
async fn an_endpoint_is_drained_and_taken_back() {
    let Some(browser) = Browser::start().await else { return };
    let mut site = Site::start(&["web-1", "web-2"]).await;
    let served = Served::start(StatusPage::new(&site.monitor).allow_changes(anyone));
    browser.open(&served.url()).await;
    for (command, state, shown) in [
        ("drain", Availability::Draining, "draining"),
        ("maintenance", Availability::Maintenance, "maintenance"),
        ("ready", Availability::Up, "up"),
    ] {
        set(&browser, "web-2", command).await;
        let change = soon(site.changes.next()).await.expect("the checks go on");
        assert_eq!((change.id.as_str(), change.to), ("web-2", state));
        browser.until(&format!("state('web-2') === {shown:?}")).await;
        browser.until(&format!("text('#event-list').includes('web-2: set to {command}')")).await;
        assert_eq!(browser.run("return state('web-1')").await, "up");
    }
    assert!(browser.run("return text('#event-list')").await.as_str().expect("text").contains("by ada"));
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_change_is_confirmed() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor).allow_changes(anyone));
    browser.open(&served.url()).await;
    browser.until("document.querySelector('.change')").await;
    browser.click(".change").await;
    browser.until("document.querySelector('#control').open").await;
    browser.click("#control [value=drain]").await;
    browser.click("#control-cancel").await;
    browser.until("!document.querySelector('#control').open").await;
    browser.click(".change").await;
    // Without a choice.
    browser.click("#control [type=submit]").await;
    browser.until("text('#control-error') === 'Choose the new state.'").await;
    browser.press("\u{e00c}").await;
    browser.until("!document.querySelector('#control').open").await;
    assert!(browser.requested().await.iter().all(|url| !url.contains("endpoints")));
    assert_eq!(site.pool.availability("web-1"), Some(Availability::Up));
    browser.open(&served.url()).await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn a_page_without_permission_to_change_has_no_buttons_for_it() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor));
    browser.open(&served.url()).await;
    browser.until("cell('web-1', 'total') !== undefined").await;
    assert_eq!(browser.run("return document.querySelectorAll('.change').length").await, 0);
    let post =
        "const answer = await fetch('./endpoints', { method: 'POST', headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ pool: 'shop', endpoint: 'web-1', state: 'drain' }) }); return answer.status;";
    assert_eq!(browser.run_async(post).await, 403);
    assert_eq!(site.pool.availability("web-1"), Some(Availability::Up));
    browser.end().await;
}

#[tokio::test]
async fn a_refused_change_tells_why() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor).allow_changes(|_| Err(Refused::forbidden())));
    browser.open(&served.url()).await;
    browser.until("document.querySelector('.change')").await;
    browser.click(".change").await;
    browser.click("#control [value=drain]").await;
    browser.click("#control [type=submit]").await;
    browser.until("text('#control-error').includes('not permitted to this user')").await;
    assert_eq!(site.pool.availability("web-1"), Some(Availability::Up));
    browser.end().await;
}

#[tokio::test]
async fn a_change_without_the_token_or_from_another_site_changes_nothing() {
    let Some(browser) = Browser::start().await else { return };
    let site = Site::start(&["web-1"]).await;
    let served = Served::start(StatusPage::new(&site.monitor).allow_changes(anyone));
    browser.open(&served.url()).await;
    // From the page itself, without the token and with a wrong one.
    let post = |headers: &str| {
        format!(
            "const answer = await fetch('./endpoints', {{ method: 'POST',
                headers: {{ 'content-type': 'application/json', {headers} }},
                body: JSON.stringify({{ pool: 'shop', endpoint: 'web-1', state: 'drain' }}) }});
            return answer.status;"
        )
    };
    assert_eq!(browser.run_async(&post("")).await, 403);
    assert_eq!(browser.run_async(&post("'x-csrf-token': 'guessed'")).await, 403);
    // From another site that knows the token: by a form, and by scripts with and without a preflight.
    let state = browser.run_async("return (await fetch('./status.json')).json()").await;
    let token = state["csrf_token"].as_str().expect("a token");
    let foreign = Foreign::start("<!doctype html><title>foreign</title><iframe name=target></iframe>");
    browser.go(&foreign.url).await;
    let endpoints = format!("{}endpoints", served.url());
    let form = format!(
        "const form = document.createElement('form');
         Object.assign(form, {{ method: 'POST', action: {endpoints:?}, target: 'target' }});
         for (const [name, value] of Object.entries({{ pool: 'shop', endpoint: 'web-1', state: 'drain' }})) {{
             const input = Object.assign(document.createElement('input'), {{ name, value }});
             form.append(input);
         }}
         document.body.append(form);
         const loaded = new Promise((resolve) => document.querySelector('iframe').addEventListener('load', resolve));
         form.submit();
         await loaded;
         return 'sent';"
    );
    assert_eq!(browser.run_async(&form).await, "sent");
    for (mode, headers) in [
        ("no-cors", "'content-type': 'application/x-www-form-urlencoded'".to_owned()),
        ("cors", format!("'content-type': 'application/json', 'x-csrf-token': {token:?}")),
    ] {
        let script = format!(
            "await fetch({endpoints:?}, {{ method: 'POST', mode: {mode:?}, credentials: 'include', headers: {{ {headers} }},
                 body: 'pool=shop&endpoint=web-1&state=drain' }}).catch(() => null);
             return 'sent';"
        );
        assert_eq!(browser.run_async(&script).await, "sent");
    }
    // Nor can another site read the state, or show the page in a frame.
    let read =
        format!("return fetch({:?}).then(() => 'read', () => 'refused')", format!("{}status.json", served.url()));
    assert_eq!(browser.run_async(&read).await, "refused");
    assert_eq!(site.pool.availability("web-1"), Some(Availability::Up));
    assert!(site.health.status("web-1").expect("known").conditions.is_empty());
    browser.end().await;
}
