//! The files in `docs/monitoring`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use equipoise::monitor::metric::{Kind, families};
use serde_json::Value;

use super::server::promtool;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).expect("a document")
}

/// A query of the dashboard.
pub(crate) struct Query {
    pub(crate) panel: String,
    pub(crate) expression: String,
}

/// Returns all queries of the dashboard, with all values of its variables and a window for `rate`.
pub(crate) fn queries(window: &str) -> Vec<Query> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let mut expression = target["expr"].as_str().expect("a query").replace("$__rate_interval", window);
            for variable in ["$job", "$pool", "$endpoint", "$function"] {
                expression = expression.replace(variable, ".*");
            }
            queries.push(Query { panel: panel["title"].as_str().expect("a title").to_owned(), expression });
        }
    }
    queries
}

/// Returns the names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words.filter(|word| word.starts_with("equipoise_") || word.starts_with("process_")).collect()
}

/// Returns the names of all series with fixed names.
fn series() -> BTreeSet<String> {
    let series = families().iter().flat_map(|family| match family.kind() {
        Kind::Histogram => ["_bucket", "_sum", "_count"].map(|suffix| family.name() + suffix).to_vec(),
        _ => vec![family.name()],
    });
    series.collect()
}

#[test]
fn the_table_of_metrics_is_complete() {
    let row = |family: &equipoise::monitor::metric::Family| {
        let labels: Vec<_> = family.labels().iter().map(|label| format!("`{label}`")).collect();
        format!("| `{}` | {} | {} | {} |\n", family.name(), family.kind().as_str(), labels.join(", "), family.help())
    };
    let table: String = families().iter().map(row).collect();
    let table = format!("| name | type | labels | meaning |\n| --- | --- | --- | --- |\n{table}");
    assert!(read("README.md").contains(&table), "the table in docs/monitoring/README.md must be:\n\n{table}");
}

#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    let (series, alerts) = (series(), read("alerts.yml"));
    let dashboard: String = queries("1m").into_iter().map(|query| query.expression + "\n").collect();
    // The names of the readings of listeners are not in the list.
    let is_reading = |name: &str| name.starts_with("equipoise_listener_") && !name.contains("certificate");
    for name in names(&dashboard).into_iter().chain(names(&alerts)) {
        assert!(series.contains(name) || is_reading(name), "{name}");
    }
    assert!(names(&dashboard).len() > 20 && names(&alerts).len() > 10);
}

#[test]
fn each_panel_of_the_dashboard_has_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).expect("JSON");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let at = |name: &str| panel["gridPos"][name].as_u64().expect("a position");
        assert!(at("x") + at("w") <= 24, "{}", panel["title"]);
        assert!(ids.insert(panel["id"].as_u64()), "{}", panel["title"]);
        for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} covers another panel", panel["title"]);
        }
    }
}

#[test]
fn each_of_the_six_troubles_has_an_alert() {
    let alerts = read("alerts.yml");
    for name in ["FirstServerOnly", "Backend503", "SessionsLost", "NotAnswering", "HighCpu", "UnevenLoad"] {
        assert!(alerts.contains(&format!("- alert: Equipoise{name}\n")), "{name}");
    }
}

#[tokio::test]
async fn prometheus_accepts_the_alert_rules_and_their_tests_pass() {
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let Some(result) = promtool(&folder(), &arguments, "").await else { return };
        let text = result.unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(text.contains("SUCCESS"), "{text}");
    }
    // Each alert has a test.
    let (alerts, tests) = (read("alerts.yml"), read("alerts.test.yml"));
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n        exp_alerts:")), "{alert}");
    }
}
