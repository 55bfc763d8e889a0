//! Functions of a gateway in the state and in updates.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use equipoise_gateway::filter::{Maintenance, MaintenanceLayer};
use equipoise_monitor::WatchedFunction;
use serde_json::{Value, json};

use crate::{
    common::{Setup, message},
    schema::{check, validator},
};

/// A maintenance page, which has a problem for as long as `is_broken` is true.
fn function(name: &str, maintenance: &Maintenance, is_broken: &Arc<AtomicBool>) -> WatchedFunction {
    let (layer, is_broken) = (MaintenanceLayer::new(maintenance.clone()), Arc::clone(is_broken));
    WatchedFunction::new(name, move |into| {
        into.maintenance(&layer.stats());
        if is_broken.load(Ordering::Relaxed) {
            into.problem("the page cannot be read");
        }
    })
}

fn reading<'v>(function: &'v Value, name: &str, labels: &Value) -> Option<&'v Value> {
    let mut readings = function["readings"].as_array()?.iter();
    Some(&readings.find(|reading| reading["name"] == name && reading["labels"] == *labels)?["value"])
}

#[tokio::test(start_paused = true)]
async fn a_function_is_sent_again_when_a_number_or_a_problem_has_changed() {
    let setup = Setup::new();
    let (maintenance, is_broken) = (Maintenance::new(), Arc::new(AtomicBool::new(false)));
    setup.monitor.add_function(function("site", &maintenance, &is_broken));
    setup.monitor.add_function(function("other", &Maintenance::new(), &Arc::default()));
    // Until the monitor has seen the functions.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await.into_body();
    let state = message(&mut updates).await.data;
    check(&validator("state"), &state);
    let [site, other] = &state["functions"].as_array().expect("functions")[..] else { panic!("{state}") };
    assert_eq!((&site["name"], &other["name"]), (&json!("site"), &json!("other")));
    assert_eq!(reading(site, "maintenance_active", &json!({})), Some(&json!(0)));
    assert_eq!(reading(site, "maintenance_requests", &json!({ "outcome": "exempt" })), Some(&json!(0)));
    assert_eq!(site["problems"], json!([]));

    assert_eq!(message(&mut updates).await.data.get("functions"), None);
    let changes: [(&dyn Fn(), u64, Value); 3] = [
        (&|| maintenance.switch(true), 1, json!([])),
        (&|| is_broken.store(true, Ordering::Relaxed), 1, json!(["the page cannot be read"])),
        (&|| is_broken.store(false, Ordering::Relaxed), 1, json!([])),
    ];
    for (change, active, problems) in changes {
        change();
        let update = message(&mut updates).await;
        assert_eq!(update.event, "update");
        check(&validator("update"), &update.data);
        let [site] = &update.data["functions"].as_array().expect("functions")[..] else { panic!("{:?}", update.data) };
        assert_eq!((&site["name"], &site["problems"]), (&json!("site"), &problems));
        assert_eq!(reading(site, "maintenance_active", &json!({})), Some(&json!(active)));
        assert_eq!(message(&mut updates).await.data.get("functions"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_state_is_sent_again_when_functions_come_and_go() {
    let setup = Setup::new();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await.into_body();
    assert_eq!(message(&mut updates).await.data["functions"], json!([]));
    setup.monitor.add_function(function("site", &Maintenance::new(), &Arc::default()));
    let state = message(&mut updates).await;
    assert_eq!((state.event.as_str(), &state.data["functions"][0]["name"]), ("state", &json!("site")));
    assert_eq!(message(&mut updates).await.event, "update");
    assert!(setup.monitor.remove_function("site"));
    let state = message(&mut updates).await;
    assert_eq!((state.event.as_str(), &state.data["functions"]), ("state", &json!([])));
}
