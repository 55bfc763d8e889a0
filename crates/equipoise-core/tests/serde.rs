//! Serialization: endpoints in configuration files, and status and explanations as data.
#![cfg(all(feature = "serde", not(loom)))]

use std::{sync::Arc, time::Duration};

use equipoise_core::{Availability, EndpointId, EndpointSpec, ManualClock, PickRequest, Pool, RoundRobin, Tier};
use serde_json::{from_value, json, to_value};

#[test]
fn an_endpoint_is_read_from_its_address_or_a_table() {
    let plain = EndpointSpec::new("10.0.0.1:80");
    assert_eq!(from_value::<EndpointSpec>(json!("10.0.0.1:80")).unwrap(), plain);
    assert_eq!(from_value::<EndpointSpec>(json!({"address": "10.0.0.1:80"})).unwrap(), plain);
    let full = json!({
        "address": "10.0.0.1:80", "id": "web-1", "weight": 3, "tier": 1, "max_in_flight": 100, "zone": "eu-1a",
    });
    let spec = plain.clone().with_id("web-1").weight(3).tier(Tier::BACKUP).max_in_flight(100).zone("eu-1a");
    assert_eq!(from_value::<EndpointSpec>(full.clone()).unwrap(), spec);
    assert_eq!(to_value(&spec).unwrap(), full);
    assert_eq!(to_value(&plain).unwrap(), json!({"address": "10.0.0.1:80", "weight": 1, "tier": 0}));
    let backup = json!({"address": "10.0.0.1:80", "tier": "backup"});
    assert_eq!(from_value::<EndpointSpec>(backup).unwrap(), plain.tier(Tier::BACKUP));
}

#[test]
fn what_no_endpoint_has_is_refused() {
    for (given, said) in [
        (json!({"address": "a:80", "wieght": 3}), "unknown field `wieght`"),
        (json!({"id": "a"}), "missing field `address`"),
        (json!({"address": "a:80", "tier": 256}), "a tier: a number from 0"),
        (json!({"address": "a:80", "tier": "spare"}), "\"primary\" or \"backup\""),
        (json!({"address": "a:80", "weight": -1}), "u32"),
        (json!(80), "an endpoint: its address, or a table"),
    ] {
        let error = from_value::<EndpointSpec>(given).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn availability_is_written_as_it_is_displayed() {
    use Availability::{Draining, Maintenance, Probation, Unhealthy, Up};
    for availability in [Up, Unhealthy, Probation, Draining, Maintenance] {
        let written = to_value(availability).unwrap();
        assert_eq!(written, json!(availability.to_string()));
        assert_eq!(from_value::<Availability>(written).unwrap(), availability);
    }
    assert!(from_value::<Availability>(json!("open")).is_err());
}

#[test]
fn ids_status_and_explanations_are_data() {
    assert_eq!(from_value::<EndpointId>(json!("a")).unwrap(), EndpointId::from("a"));
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ()).unwrap();
    let status = json!({
        "id": "a:80", "joined": 1, "address": "a:80", "tier": 0, "zone": null, "weight": 1, "availability": "up",
        "in_flight": 0, "max_in_flight": null, "latency": null, "duration": null, "bytes_sent": 0, "bytes_received": 0,
        "requests": {
            "total": 0, "in_flight": 0, "success": 0, "failure_connect": 0, "failure_transport": 0,
            "failure_timeout": 0, "failure_gateway": 0, "failure_server": 0, "overloaded": 0, "unavailable": 0,
            "neutral": 0, "cancelled": 0,
        },
    });
    assert_eq!(to_value(&pool.endpoints()[0]).unwrap(), status);
    let requests = &status["requests"];
    let stats = json!({
        "attempts": requests, "bytes_sent": 0, "bytes_received": 0, "waiting": 0, "queued": 0, "retries": 0,
        "failovers": 0, "unserved": [
            ["empty", 0], ["unavailable", 0], ["saturated", 0], ["excluded", 0], ["bound", 0], ["unbound", 0],
            ["declined", 0], ["misbehaved", 0], ["panicked", 0], ["cancelled", 0],
        ],
        "requests": 0,
    });
    assert_eq!(to_value(pool.stats()).unwrap(), stats);
    let excluded = [EndpointId::from("a:80")];
    let explanation = to_value(pool.explain(&PickRequest::new().exclude(&excluded))).unwrap();
    assert_eq!(explanation["picked"], json!({"endpoint": "b:80"}));
    assert_eq!((&explanation["binding_outcome"], &explanation["revision"]), (&json!("unbound"), &json!(1)));
    assert_eq!(explanation["candidates"][0]["status"], status);
    assert_eq!(explanation["candidates"][0]["result"], json!("excluded"));
    let empty = to_value(Pool::<()>::default().explain(&PickRequest::new())).unwrap();
    assert_eq!(empty["picked"], json!({"error": "the pool has no endpoints"}));
}

#[test]
fn a_histogram_is_its_count_its_sum_and_its_buckets_in_seconds() {
    let clock = Arc::new(ManualClock::new());
    let pool = Pool::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
    pool.add(EndpointSpec::new("a:80"), ()).unwrap();
    for millis in [1, 1, 100_000] {
        let mut lease = pool.pick(&PickRequest::new()).unwrap();
        clock.advance(Duration::from_millis(millis));
        lease.first_byte();
    }
    let status = to_value(&pool.endpoints()[0]).unwrap();
    let histogram = json!({"count": 3, "sum": 100.002, "buckets": [[0.001_015_808, 2], [null, 1]]});
    assert_eq!((&status["latency"], &status["duration"]), (&histogram, &histogram));
}
