//! Each trouble shows before its cure, and not after it.

use std::collections::BTreeMap;

use clap::ValueEnum;

use crate::troubles::{Scene, Trouble};

const GUIDE: &str = include_str!("../../docs/troubleshooting.md");

const ALERTS: &str = include_str!("../../docs/monitoring/alerts.yml");

/// The number of requests of each run.
const REQUESTS: usize = 240;

async fn run(trouble: Trouble, cured: bool) -> (Scene, f64) {
    let scene = trouble.scene(cured).await.unwrap();
    let answers = scene.run(REQUESTS).await.unwrap();
    let value = trouble.measure(&scene, &answers).value;
    let (balancer, questions) = trouble.questions(&answers).unwrap();
    for question in questions {
        let explained = scene.balancers[balancer].explain(&question).await;
        assert!(explained.contains("at revision"), "{explained}");
    }
    let metrics = scene.balancers[0].metrics(trouble.metrics()).unwrap();
    assert!(metrics.lines().count() > 1, "{metrics}");
    (scene, value)
}

/// Returns the value before and after the cure.
async fn both(trouble: Trouble) -> (f64, f64) {
    (run(trouble, false).await.1, run(trouble, true).await.1)
}

#[tokio::test]
async fn all_clients_of_an_untrusted_proxy_get_to_one_server() {
    let (before, after) = both(Trouble::FirstServer).await;
    assert_eq!(before, 1.0);
    assert!(after < 0.6, "{after}");
}

#[tokio::test]
async fn a_server_that_answers_503_gets_few_requests_once_it_is_ejected() {
    let (before, after) = both(Trouble::Answers503).await;
    assert!((0.3..0.4).contains(&before), "{before}");
    assert!(after < 0.15, "{after}");
    let (scene, _) = run(Trouble::Answers503, true).await;
    let rows = scene.balancers[0].rows();
    assert!(rows.lines().any(|row| row.starts_with("c ") && row.contains("unhealthy")), "{rows}");
}

#[tokio::test]
async fn a_503_of_the_balancer_names_no_server_and_counts_as_unserved() {
    let scene = Trouble::Answers503.scene(false).await.unwrap();
    let balancer = &scene.balancers[0];
    for name in ["a", "b", "c"] {
        balancer.pool.remove(name).unwrap();
    }
    let answers = scene.run(REQUESTS).await.unwrap();
    let server = "the balancer itself (balancer; error=destination_unavailable)".to_owned();
    assert_eq!(answers.counts, BTreeMap::from([((503, server), REQUESTS)]));
    let metrics = balancer.metrics(Trouble::Answers503.metrics()).unwrap();
    let unserved = r#"equipoise_pool_unserved_requests_total{pool="web",reason="empty"} 240"#;
    assert_eq!(metrics.trim_end(), unserved);
}

#[tokio::test]
async fn sessions_move_between_balancers_with_different_secrets() {
    let (before, after) = both(Trouble::LostSessions).await;
    assert!(before > 0.3, "{before}");
    assert_eq!(after, 0.0);
}

#[tokio::test]
async fn a_server_that_hangs_takes_all_connections_unless_attempts_are_limited() {
    let (before, after) = both(Trouble::NoAnswer).await;
    assert!(before > 0.5, "{before}");
    assert_eq!(after, 0.0);
}

#[tokio::test]
async fn clients_that_keep_their_connections_make_few_handshakes() {
    let (before, after) = both(Trouble::HighCpu).await;
    assert!(before >= 1.0, "{before}");
    assert!(after <= 0.1, "{after}");
}

#[tokio::test]
async fn one_large_customer_loads_one_server_unless_its_load_is_bounded() {
    let (before, after) = both(Trouble::UnevenLoad).await;
    assert!(before > 0.6, "{before}");
    assert!(after < 0.45, "{after}");
}

#[test]
fn the_guide_has_the_command_the_cause_and_the_cure_of_each_trouble() {
    for trouble in Trouble::value_variants() {
        let value = trouble.to_possible_value().unwrap();
        let command = format!("`cargo run --example trouble -- {}`", value.get_name());
        let heading = format!("\n## {}\n", value.get_help().unwrap());
        let (cause, cure) = (format!("\nCause: {}\n", trouble.cause()), format!("\nCure: {}\n", trouble.cure()));
        for part in [command, heading, cause, cure] {
            assert!(GUIDE.contains(&part), "{part}");
        }
    }
}

#[test]
fn the_guide_names_alerts_that_exist() {
    let names = GUIDE.split('`').filter(|word| word.starts_with("Equipoise"));
    let mut seen = 0;
    for name in names {
        assert!(ALERTS.contains(&format!("alert: {name}\n")), "{name}");
        seen += 1;
    }
    assert!(seen >= Trouble::value_variants().len());
}
