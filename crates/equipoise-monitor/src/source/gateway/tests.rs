use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use equipoise_affinity::source::ClientAddress;
use equipoise_gateway::{
    auth::{
        ApiKey, ApiKeys, AuthLayer,
        jwt::{Algorithm, Jwt, KeySet, Refusal, VerifyingKey},
    },
    filter::{FilterLayer, FilterRules, PathFault, Rule, UriLayer},
    limit::{Limit, LimitKey, Quota, RateLimitLayer},
};

use super::*;
use crate::{
    WatchedFunction,
    metric::{Kind, Unit, families},
    report::{FunctionReport, ReadingKind},
    source::testing::fields_of,
};

fn report(read: impl Fn(&mut FunctionReadings) + Send + Sync + 'static) -> FunctionReport {
    WatchedFunction::new("f", read).report()
}

fn limits() -> Vec<LimitStats> {
    let limit = |name| {
        let key = LimitKey::client(ClientAddress::connection());
        Limit::new(name, key, Quota::per_second(5))
    };
    let layer = RateLimitLayer::builder().limit(limit("one")).limit(limit("two")).build();
    layer.expect("valid").stats()
}

fn auth() -> AuthStats {
    let mut stats = AuthLayer::new(ApiKey::header(ApiKeys::default())).stats();
    stats.schemes[0].invalid_reasons = vec![("unknown_key", 3)];
    stats
}

fn jwt() -> JwtStats {
    let key = VerifyingKey::secret(Algorithm::Hs256, [7; 32]).expect("valid");
    let keys = KeySet::new([key]).expect("valid");
    let jwt = Jwt::builder(keys).algorithms([Algorithm::Hs256]).any_issuer().any_audience().build();
    let mut stats = jwt.expect("valid").stats();
    stats.refused = BTreeMap::from([(Refusal::Expired, 4), (Refusal::Signature, 1)]);
    stats
}

fn everything(into: &mut FunctionReadings) {
    let rules = FilterRules::new([Rule::deny("scripts").path("/**/*.php")]).expect("valid");
    into.filter(&FilterLayer::new(rules).stats());
    into.uri(&UriLayer::default().stats());
    into.redirect(&RedirectStats::default());
    into.maintenance(&MaintenanceStats::default());
    into.request_bodies(&BodyFilterStats::default());
    into.response_bodies(&BodyFilterStats::default());
    into.cors(&CorsStats::default());
    into.csrf(&CsrfStats::default());
    into.request_ids(&RequestIdStats::default());
    into.auth(&auth());
    into.external(&ExternalStats::default());
    into.basic(&BasicStats::default());
    into.jwt("issuer", &jwt());
    into.cache(&CacheStats::default());
    let mut store = StoreStats::default();
    store.max_bytes = 1;
    into.cache_store(&store);
    into.cache_redis(&RedisConnectionStats::default());
    into.compression(&CompressionStats::default());
    into.decompression(&DecompressionStats::default());
    into.rate_limits(&limits());
    into.rate_limit_redis(&RedisLimitStats::default());
    into.in_flight(&InFlightStats::default());
}

#[test]
fn each_reading_has_a_family_with_its_labels_and_each_family_a_reading() {
    let of_functions = families().iter().filter(|family| family.labels().first() == Some(&"function"));
    let families: HashMap<String, _> = of_functions
        .map(|family| {
            let unit = family.unit().map_or("", |unit| if unit == Unit::Bytes { "_bytes" } else { "_seconds" });
            (format!("{}{unit}", family.base()), family)
        })
        .collect();
    let report = report(everything);
    let mut found = HashSet::new();
    for reading in &report.readings {
        let name = format!("equipoise_{}", reading.name);
        let family = families.get(&name).unwrap_or_else(|| panic!("{name}"));
        let labels: Vec<_> = reading.labels.iter().map(|(label, _)| *label).collect();
        assert_eq!(labels, family.labels()[1..], "{name}");
        let kind = if family.kind() == Kind::Counter { ReadingKind::Counter } else { ReadingKind::Gauge };
        assert_eq!(reading.kind, kind, "{name}");
        found.insert(name);
    }
    let missing: Vec<_> = families.keys().filter(|name| !found.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn all_readings_have_the_documented_form_and_are_shown_on_the_status_page() {
    let mut schema: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../docs/monitoring/status.schema.json")).expect("JSON");
    schema["$ref"] = "#/$defs/function".into();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let mut report = report(everything);
    report.problems.push("Redis: the server is away".to_owned());
    let errors: Vec<_> =
        validator.iter_errors(&serde_json::to_value(&report).expect("JSON")).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    let script = include_str!("../../page/assets/functions.js");
    for reading in &report.readings {
        assert!(script.contains(&format!("\"{}\"", reading.name)), "the page does not show {}", reading.name);
    }
}

#[test]
fn all_counters_of_functions_are_read() {
    let fields = |value: &dyn std::fmt::Debug| fields_of(&value).len();
    // A field more needs a reading, or a reason why it has none.
    let counts = [
        ("filter", fields(&FilterStats::default()), 6),
        ("uri", fields(&UriStats::default()), 2),
        ("redirect", fields(&RedirectStats::default()), 1),
        ("maintenance", fields(&MaintenanceStats::default()), 4),
        ("bodies", fields(&BodyFilterStats::default()), 2),
        ("cors", fields(&CorsStats::default()), 1),
        ("csrf", fields(&CsrfStats::default()), 2),
        ("request ids", fields(&RequestIdStats::default()), 2),
        ("auth", fields(&auth()), 8),
        ("scheme", fields(&auth().schemes[0]), 7),
        ("external", fields(&ExternalStats::default()), 7),
        ("basic", fields(&BasicStats::default()), 5),
        ("jwt", fields(&jwt()), 6),
        ("keys", fields(&KeysStats::default()), 7),
        ("cache", fields(&CacheStats::default()), 19),
        ("store", fields(&StoreStats::default()), 13),
        ("redis of caches", fields(&RedisConnectionStats::default()), 9),
        ("compression", fields(&CompressionStats::default()), 7),
        ("decompression", fields(&DecompressionStats::default()), 10),
        ("limit", fields(&limits()[0]), 9),
        ("redis of limits", fields(&RedisLimitStats::default()), 10),
        ("in flight", fields(&InFlightStats::default()), 5),
    ];
    for (stats, found, read) in counts {
        assert_eq!(found, read, "{stats}");
    }
}

#[test]
fn results_of_a_cache_have_their_labels() {
    let mut stats = CacheStats::default();
    (stats.hits, stats.misses, stats.too_large, stats.filling_bytes) = (1, 2, 3, 4);
    stats.not_stored = vec![("private", 5)];
    (stats.store.keys, stats.store.bytes, stats.store.evicted) = (6, 7, 8);
    let (cache, known) = (stats.clone(), stats.store);
    let report = report(move |into| {
        into.cache(&cache);
        into.cache_store(&known);
    });
    assert_eq!(report.value("cache_requests", &["hit"]), Some(1));
    assert_eq!(report.value("cache_requests", &["miss"]), Some(2));
    assert_eq!(report.value("cache_not_stored_responses", &["too_large"]), Some(3));
    assert_eq!(report.value("cache_not_stored_responses", &["private"]), Some(5));
    assert_eq!(report.value("cache_filling_bytes", &[]), Some(4));
    assert_eq!(report.value("cache_store_events", &["evicted"]), Some(8));
    // The store does not know its size.
    assert_eq!(report.value("cache_store_keys", &[]), None);
    stats.store.max_bytes = 9;
    let report = self::report(move |into| into.cache_store(&stats.store));
    let sizes = ["cache_store_keys", "cache_store_bytes", "cache_store_limit_bytes"];
    assert_eq!(sizes.map(|name| report.value(name, &[])), [Some(6), Some(7), Some(9)]);
}

#[test]
fn keys_tell_when_they_were_read_and_why_they_could_not() {
    let mut stats = KeysStats::default();
    let never = stats.clone();
    (stats.keys, stats.failures) = (2, 3);
    stats.last_success = Some(UNIX_EPOCH + Duration::from_millis(1_500));
    stats.last_error = Some("connection refused".to_owned());
    let report = report(move |into| {
        into.keys("a", &stats);
        into.keys("b", &never);
    });
    assert_eq!(report.value("jwt_keys", &["a", "usable"]), Some(2));
    assert_eq!(report.value("jwt_key_reads", &["a", "failure"]), Some(3));
    assert_eq!(report.value("jwt_keys_last_success_timestamp_seconds", &["a"]), Some(1));
    assert_eq!(report.value("jwt_keys", &["b", "usable"]), Some(0));
    assert_eq!(report.value("jwt_keys_last_success_timestamp_seconds", &["b"]), None);
    assert_eq!(report.problems, ["keys of a: connection refused"]);
}

#[test]
fn tokens_are_counted_by_outcome_and_refused_ones_by_reason() {
    let stats = jwt();
    let report = report(move |into| into.jwt("issuer", &stats));
    assert_eq!(report.value("jwt_requests", &["issuer", "refused"]), Some(5));
    assert_eq!(report.value("jwt_refused_tokens", &["issuer", "expired"]), Some(4));
    assert_eq!(report.value("jwt_keys", &["issuer", "usable"]), Some(1));
}

#[test]
fn schemes_of_an_authentication_are_told_apart_by_mechanism() {
    let mut stats = auth();
    (stats.allowed, stats.forbidden) = (1, 2);
    stats.schemes[0].accepted = 3;
    let report = report(move |into| into.auth(&stats));
    assert_eq!(report.value("auth_requests", &["allowed"]), Some(1));
    assert_eq!(report.value("auth_requests", &["forbidden"]), Some(2));
    assert_eq!(report.value("auth_scheme_requests", &["api_key", "accepted"]), Some(3));
    assert_eq!(report.value("auth_invalid_credentials", &["api_key", "unknown_key"]), Some(3));
}

#[test]
fn each_limit_is_told_apart_by_its_name() {
    let mut stats = limits();
    (stats[0].admitted, stats[1].denied, stats[1].evicted) = (1, 2, 3);
    let report = report(move |into| into.rate_limits(&stats));
    assert_eq!(report.value("rate_limit_requests", &["one", "admitted"]), Some(1));
    assert_eq!(report.value("rate_limit_requests", &["two", "denied"]), Some(2));
    assert_eq!(report.value("rate_limit_events", &["two", "key_evicted"]), Some(3));
    assert_eq!(report.value("rate_limit_requests", &["one", "denied"]), Some(0));
}

#[test]
fn redis_that_is_away_is_a_problem() {
    let mut limit = RedisLimitStats::default();
    (limit.reason, limit.decisions, limit.fallbacks) = (Some("the server is away".to_owned()), 1, 2);
    let store = RedisConnectionStats::default();
    let limits = report(move |into| into.rate_limit_redis(&limit));
    assert_eq!(limits.value("redis_connected", &[]), Some(0));
    assert_eq!(limits.value("rate_limit_decisions", &["fallback"]), Some(2));
    assert_eq!(limits.problems, ["Redis: the server is away"]);
    let (mut away, mut connected) = (store.clone(), store);
    (away.reason, connected.connected) = (Some("the server is away".to_owned()), true);
    assert_eq!(report(move |into| into.cache_redis(&away)).problems, ["Redis: the server is away"]);
    let cache = report(move |into| into.cache_redis(&connected));
    assert_eq!((cache.value("redis_connected", &[]), cache.problems.len()), (Some(1), 0));
}

#[test]
fn encodings_and_refused_paths_have_their_labels() {
    let mut stats = CompressionStats::default();
    (stats.brotli.messages, stats.gzip.bytes_out, stats.skipped_busy) = (1, 2, 3);
    let mut uri = UriStats::default();
    uri.refused = vec![(PathFault::Nul, 4)];
    let mut requests = DecompressionStats::default();
    (requests.zstd.messages, requests.busy, requests.concurrent) = (5, 6, 7);
    let report = report(move |into| {
        into.compression(&stats);
        into.decompression(&requests);
        into.uri(&uri);
    });
    assert_eq!(report.value("compressed_responses", &["br"]), Some(1));
    assert_eq!(report.value("compression_written_bytes", &["gzip"]), Some(2));
    assert_eq!(report.value("uncompressed_responses", &["busy"]), Some(3));
    assert_eq!(report.value("uri_refused_requests", &[PathFault::Nul.as_str()]), Some(4));
    assert_eq!(report.value("decompressed_requests", &["zstd"]), Some(5));
    assert_eq!(report.value("decompression_refused_requests", &["busy"]), Some(6));
    assert_eq!(report.value("decompression_in_progress", &[]), Some(7));
}
