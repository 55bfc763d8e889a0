use equipoise::{
    Availability, EndpointSpec, Pool,
    gateway::{
        auth::jwt::KeysStats,
        filter::{FilterLayer, FilterRules, Rule},
    },
    health::{Health, Schedule, probe::probe_fn},
    monitor::{
        Monitor, WatchedFunction, WatchedListener, WatchedPool,
        page::{Operator, StatusPage},
    },
};
use equipoise_tests::soon;

use super::{chromium::Browser, site::Served};

/// Texts that run a script where a text is taken for HTML, for an attribute, for a URL or for a script.
const HOSTILE: [&str; 6] = [
    "<img src=x onerror=window.hacked=1>",
    "\"><script>window.hacked=1</script>",
    "'onmouseover='window.hacked=1",
    "javascript:window.hacked=1",
    "</script><svg onload=window.hacked=1>",
    "`${window.hacked=1}`;window.hacked=1//",
];

#[tokio::test]
async fn hostile_names_and_reasons_are_shown_as_text() {
    let Some(browser) = Browser::start().await else { return };
    let probe = probe_fn(|_| async { Err::<(), _>(HOSTILE[1]) });
    let schedule = Schedule::new().interval(std::time::Duration::from_millis(50)).fall(1);
    let health = Health::builder().check(HOSTILE[0], schedule, probe).build().expect("valid settings");
    let pool = Pool::<()>::new(health.watch(equipoise::RoundRobin::new()));
    let specs = HOSTILE.map(|id| EndpointSpec::new("127.0.0.1:1").with_id(id).zone(id));
    pool.update(specs, |_| ()).expect("endpoints");
    let mut changes = health.changes();
    let _checking = health.spawn(&pool);
    let monitor = Monitor::new();
    monitor.build_info(HOSTILE[0], HOSTILE[1]);
    for name in HOSTILE {
        monitor.add_pool(WatchedPool::new(name, &pool).health(&health));
        monitor.add_listener(WatchedListener::new(name, HOSTILE[4]));
        let filter = FilterLayer::new(FilterRules::new([Rule::deny(name)]).expect("a rule"));
        monitor.add_function(WatchedFunction::new(name, move |into| {
            into.filter(&filter.stats());
            into.keys(name, &KeysStats::default());
            into.problem(name);
        }));
    }
    let page = StatusPage::new(&monitor).allow_changes(|_| Ok(Operator::new(HOSTILE[0])));
    let served = Served::start(page);
    for _ in HOSTILE {
        let change = soon(changes.next()).await.expect("the checks go on");
        assert_eq!(change.to, Availability::Unhealthy);
    }
    browser.open(&served.url()).await;
    let elements = "return document.querySelectorAll('img, script:not([src]), iframe, object, main svg:not([class]), [onload], [onerror], [onmouseover], [style]').length";
    for id in HOSTILE {
        let quoted = serde_json::to_string(id).expect("a text");
        browser
            .until(&format!(
                "row({quoted})?.querySelector('.why').textContent.includes('<script>window.hacked=1</script>')"
            ))
            .await;
        let pools = format!(
            "return [...document.querySelectorAll('.pool h2')].some((title) => title.textContent === {quoted})"
        );
        assert_eq!(browser.run(&pools).await, true);
        // The name of a function, its problem, and names in its facts.
        let function = format!(
            "return [...document.querySelectorAll('.function')].find((of) => of.querySelector('h3').firstChild.textContent === {quoted}).textContent.split({quoted}).length - 1"
        );
        assert!(browser.run(&function).await.as_u64().expect("a number") >= 4, "{id}");
    }
    assert_eq!(browser.run("return text('#program')").await, HOSTILE[0]);
    // In what opens, in the title, in the dialog and in events.
    browser.run("for (const button of document.querySelectorAll('button.open')) button.click()").await;
    browser.run("document.querySelector('.change').click()").await;
    browser.until(&format!("document.querySelector('#control-title').textContent === {:?}", HOSTILE[0])).await;
    browser.click("#control [value=maintenance]").await;
    browser.click("#control [type=submit]").await;
    browser.until("text('#event-list').includes('by <img src=x')").await;
    // In values of headers, in the explanation and in its errors.
    for (field, value) in [
        ("headers", format!("x-user: {}", HOSTILE[1])),
        ("key", HOSTILE[0].to_owned()),
        ("client", HOSTILE[0].to_owned()),
    ] {
        browser.run("document.querySelector('#explain-result').replaceChildren()").await;
        let quoted = serde_json::to_string(&value).expect("a text");
        browser.run(&format!("document.querySelector('[name={field}]').value = {quoted}")).await;
        browser.run("document.querySelector('#explain-form').requestSubmit()").await;
        browser.until("text('#explain-result')").await;
        assert_eq!(browser.run(elements).await, 0, "{field}");
    }
    assert_eq!(browser.run(elements).await, 0);
    assert_eq!(browser.run("return window.hacked ?? 'no'").await, "no");
    assert!(browser.console().await.iter().all(|message| message.contains("400 (Bad Request)")));
    browser.close(&served.origin()).await;
}
