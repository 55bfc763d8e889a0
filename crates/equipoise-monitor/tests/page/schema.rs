//! What the page sends has the form that is documented.

use std::time::Duration;

use equipoise_core::{EndpointSpec, PickRequest};
use equipoise_health::AdminState;
use equipoise_monitor::{WatchedListener, report::Reading};
use jsonschema::Validator;
use serde_json::{Value, json};

use crate::common::{Setup, message, serve};

/// Returns a validator for a part of the schema, or for all of it.
pub(crate) fn validator(part: &str) -> Validator {
    let mut schema: Value =
        serde_json::from_str(include_str!("../../../../docs/monitoring/status.schema.json")).expect("JSON");
    schema["$ref"] = json!(format!("#/$defs/{part}"));
    jsonschema::validator_for(&schema).expect("a schema")
}

#[track_caller]
pub(crate) fn check(validator: &Validator, value: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}

#[tokio::test(start_paused = true)]
async fn states_updates_and_explanations_have_the_documented_form() {
    let setup = Setup::new().writable();
    setup.monitor.add_listener(WatchedListener::new("127.0.0.1:80", "http").readings(|readings| {
        readings.push(Reading::counter("connections_accepted", "Connections accepted.", 3));
        readings.push(Reading::gauge("connections_open", "Connections open.", 1).with_label("tls", "no"));
    }));
    let (state, update, explanation) = (validator("state"), validator("update"), validator("explanation"));
    check(&state, &setup.json("/status.json").await);
    // Until the monitor has seen the listener.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut updates = setup.get("/updates").await.into_body();
    check(&state, &message(&mut updates).await.data);
    let _lease = setup.web.pick(&PickRequest::new()).unwrap();
    let changes: [&dyn Fn(); 6] = [
        &|| {},
        &|| serve(&setup.web),
        &|| setup.health.set_admin_state("a", AdminState::Drain { deadline: None }),
        &|| drop(setup.web.remove("b").unwrap()),
        &|| drop(setup.web.add(EndpointSpec::new("z").zone("north").max_in_flight(9), ()).unwrap()),
        &|| serve(&setup.plain),
    ];
    for change in changes {
        change();
        check(&update, &message(&mut updates).await.data);
        check(&state, &setup.json("/status.json").await);
    }
    // Several seconds at once.
    serve(&setup.web);
    tokio::time::sleep(Duration::from_secs(5)).await;
    check(&update, &message(&mut updates).await.data);
    for pool in ["web", "plain"] {
        check(&explanation, &setup.json(&format!("/explain?pool={pool}&key=x")).await);
    }
}

#[test]
fn another_form_is_noticed() {
    let state = validator("state");
    assert!(!state.is_valid(&json!({})));
    let sample = validator("sample");
    assert!(sample.is_valid(&json!([1.5, 0, 3, null, 2])));
    assert!(!sample.is_valid(&json!([1.5, 0, 3, null])) && !sample.is_valid(&json!([1, 0, 3.5, null, null])));
    let endpoint = validator("endpoint");
    assert!(endpoint.is_valid(&json!({ "id": "a", "weight": 1 })));
    assert!(!endpoint.is_valid(&json!({ "id": "a", "wait": 1 })) && !endpoint.is_valid(&json!({ "weight": 1 })));
}
