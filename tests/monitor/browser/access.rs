use std::collections::BTreeSet;

use equipoise::{
    Availability,
    gateway::auth::jwt::KeysStats,
    monitor::{
        WatchedFunction,
        page::{Operator, StatusPage},
    },
};
use serde_json::{Value, json};

use super::{
    chromium::Browser,
    site::{Served, Site},
};

/// Returns each text on the page whose contrast with its ground is below 4.5.
const FAINT: &str = include_str!("contrast.js");

async fn start() -> Option<(Browser, Site, Served)> {
    let browser = Browser::start().await?;
    let mut site = Site::start(&["web-1", "web-2", "web-3", "web-4", "web-5"]).await;
    for (id, state) in [
        ("web-2", equipoise::health::AdminState::Maintenance),
        ("web-3", equipoise::health::AdminState::Drain { deadline: None }),
    ] {
        site.health.set_admin_state(id, state);
        equipoise_tests::soon(site.changes.next()).await.expect("the checks go on");
    }
    site.backends[3].stop().await;
    let change = equipoise_tests::soon(site.changes.next()).await.expect("the checks go on");
    assert_eq!(change.to, Availability::Unhealthy);
    site.monitor.add_function(WatchedFunction::new("https://shop.example.com/checkout limit", |into| {
        into.keys("https://accounts.example.com/.well-known/openid-configuration", &KeysStats::default());
        into.problem("keys of https://accounts.example.com/.well-known/openid-configuration: the request failed");
    }));
    let served = Served::start(StatusPage::new(&site.monitor).allow_changes(|_| Ok(Operator::new("ada"))));
    browser.open(&served.url()).await;
    browser.until("state('web-4') === 'unhealthy' && row('web-4').querySelector('.change')").await;
    Some((browser, site, served))
}

/// Returns the nodes of the tree that screen readers get, as role and name.
async fn tree(browser: &Browser) -> Vec<(String, String)> {
    let tree = browser.devtools("Accessibility.getFullAXTree", json!({})).await;
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let nodes = tree["nodes"].as_array().expect("nodes").iter().filter(|node| node["ignored"] != true);
    nodes.map(|node| (text(&node["role"]), text(&node["name"]))).collect()
}

#[tokio::test]
async fn everything_is_reachable_by_keyboard() {
    let Some((browser, _site, served)) = start().await else { return };
    browser.press("/").await;
    browser.until("document.activeElement.id === 'search'").await;
    assert_eq!(browser.run("return document.activeElement.value").await, "");
    browser.run("document.activeElement.blur()").await;
    // Each element that a mouse can use gets the focus by the key Tab, and shows that it has it.
    let all = browser
        .run("
            const usable = 'a[href], button, input, select, textarea, summary, [tabindex=\"0\"]';
            window.usable = [...document.querySelectorAll(usable)].filter((element) => element.checkVisibility() && !element.closest('dialog'));
            return window.usable.length;
        ")
        .await
        .as_u64()
        .expect("a number");
    assert!(all > 30, "{all}");
    let mut reached = BTreeSet::new();
    browser.run("document.querySelector('.skip').focus()").await;
    for _ in 0..all + 20 {
        let focused = browser
            .run("
                const style = getComputedStyle(document.activeElement);
                return [window.usable.indexOf(document.activeElement), style.outlineStyle !== 'none' && style.outlineWidth !== '0px'];
            ")
            .await;
        if let Some(index) = focused[0].as_u64() {
            assert_eq!(focused[1], true, "the focus of element {index} is visible");
            reached.insert(index);
        }
        browser.press("\u{e004}").await;
    }
    let missing: Vec<_> = (0..all).filter(|index| !reached.contains(index)).collect();
    let missing =
        browser.run(&format!("return {missing:?}.map((index) => window.usable[index].outerHTML.slice(0, 200))")).await;
    assert_eq!(missing, json!([]));
    // A row opens by the key Enter, and a column sorts by Space.
    browser.run("row('web-1').querySelector('.open').focus()").await;
    browser.press("\u{e007}").await;
    browser.until("row('web-1').querySelector('.open').getAttribute('aria-expanded') === 'true'").await;
    browser.run("document.querySelector('th.rate button').focus()").await;
    browser.press(" ").await;
    browser.until("document.querySelector('th.rate').getAttribute('aria-sort') === 'descending'").await;
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn controls_have_names_and_the_table_has_roles() {
    let Some((browser, _site, served)) = start().await else { return };
    // Narrow windows show each endpoint as a card.
    for size in [(1500, 1000), (375, 800)] {
        browser.look(size, 1, "light").await;
        let nodes = tree(&browser).await;
        for (role, name) in &nodes {
            let needs_name =
                ["button", "link", "textbox", "searchbox", "combobox", "radio", "table", "region", "heading", "dialog"];
            assert!(!needs_name.contains(&role.as_str()) || !name.is_empty(), "a {role} without a name");
        }
        let count = |wanted: &str| nodes.iter().filter(|(role, _)| role == wanted).count();
        assert_eq!((count("table"), count("rowheader")), (1, 6), "{size:?}");
        assert!(
            count("row") >= 7 && count("cell") + count("gridcell") >= 60 && count("columnheader") >= 13,
            "{size:?}: {nodes:?}"
        );
        assert!(nodes.contains(&("button".to_owned(), "Change the state of web-1".to_owned())));
        // States are words, not only colours.
        for state in ["Up", "Maintenance", "Draining", "Unhealthy", "Problem"] {
            assert!(nodes.iter().any(|(role, name)| role == "StaticText" && name == state), "{state}");
        }
    }
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn texts_have_contrast_in_light_and_dark() {
    let Some((browser, _site, served)) = start().await else { return };
    browser.run("row('web-4').querySelector('.open').click()").await;
    browser.click("#explain-form [type=submit]").await;
    browser.until("text('#explain-result .verdict b')").await;
    for scheme in ["light", "dark"] {
        browser.look((1500, 1000), 1, scheme).await;
        assert_eq!(browser.run(FAINT).await, json!([]), "{scheme}");
    }
    // The switch overrules the system.
    browser.until("text('#theme-name') === 'system'").await;
    let ground = "return getComputedStyle(document.body).backgroundColor";
    let dark = browser.run(ground).await;
    browser.click("#theme").await;
    browser.until("text('#theme-name') === 'light'").await;
    assert_ne!(browser.run(ground).await, dark);
    browser.click("#theme").await;
    assert_eq!(browser.run(ground).await, dark);
    assert_eq!(browser.run(FAINT).await, json!([]), "dark by the switch");
    browser.close(&served.origin()).await;
}

#[tokio::test]
async fn a_narrow_window_does_not_scroll_sideways() {
    let Some((browser, _site, served)) = start().await else { return };
    browser.look((375, 800), 1, "light").await;
    browser.run("row('web-4').querySelector('.open').click()").await;
    let width = browser.run("return [document.documentElement.scrollWidth, innerWidth]").await;
    assert_eq!(width[0], width[1]);
    // The buttons that sort are whole.
    let cut = "return [...document.querySelectorAll('.sort button')].filter((it) => it.offsetWidth > it.parentElement.clientWidth).length";
    assert_eq!(browser.run(cut).await, 0);
    browser.close(&served.origin()).await;
}
