//! The list of affinity modes, and the default values of their parameters.

use std::collections::BTreeSet;

use super::{definition, mode, smallest, spec};
use crate::by_name::{self, Kind, ModeDefinition, Parameter, Preset};

fn preset(mode: &str, parameter: &str) -> &'static str {
    let known = definition(mode).parameter(parameter).expect(parameter);
    match known.preset() {
        Preset::Is(value) => value,
        other => panic!("{mode}: {parameter} is {other}"),
    }
}

#[test]
fn every_mode_is_built() {
    for definition in by_name::all() {
        let spec = spec(&smallest(definition.name()));
        assert_eq!(spec.definition(), definition);
        spec.build(&super::pool(), &super::context()).unwrap_or_else(|error| panic!("{spec}: {error}"));
    }
    assert_eq!(by_name::AffinitySpec::default(), spec("none"));
}

#[test]
fn names_and_parameters_are_unique() {
    let names: BTreeSet<_> = by_name::all().iter().map(ModeDefinition::name).collect();
    assert_eq!(names.len(), by_name::all().len());
    for definition in by_name::all() {
        let parameters: BTreeSet<_> = definition.parameters().iter().map(Parameter::name).collect();
        assert_eq!(parameters.len(), definition.parameters().len(), "{definition}");
    }
}

#[test]
fn presets_and_examples_are_values() {
    for definition in by_name::all() {
        for parameter in definition.parameters() {
            let is_value = |text| equipoise_core::spec::Value::parse(text, parameter.kind()).is_some();
            assert!(is_value(parameter.example()), "{definition}: {}", parameter.name());
            if let Preset::Is(text) = parameter.preset() {
                assert!(is_value(text), "{definition}: {}", parameter.name());
            }
        }
    }
}

#[test]
fn defaults_that_are_given_twice_are_equal() {
    use crate::by_name::parameters::{AFTER_FIRST, BY, BY_STORE, MISSING, UNAVAILABLE, VALUES};

    assert!(MISSING.is_consistent() && UNAVAILABLE.is_consistent());
    assert!(BY.is_consistent() && BY_STORE.is_consistent());
    assert!(VALUES.is_consistent() && AFTER_FIRST.is_consistent());
}

#[test]
fn what_is_listed_with_its_defaults_is_the_mode_itself() {
    for definition in by_name::all() {
        let smallest = smallest(definition.name());
        for parameter in definition.parameters() {
            let Preset::Is(value) = parameter.preset() else { continue };
            let spelled_out = match smallest.strip_suffix(')') {
                Some(open) => format!("{open}, {}={value})", parameter.name()),
                None => format!("{smallest}({}={value})", parameter.name()),
            };
            // A parameter without effect is refused even if its value is the default.
            match spelled_out.parse::<by_name::AffinitySpec>() {
                Ok(spec) => assert_eq!(spec.to_string(), smallest),
                Err(error) => assert!(
                    matches!(parameter.name(), "max-hops" | "key-prefix" | "cache-ttl" | "cache-capacity"),
                    "{spelled_out}: {error}"
                ),
            }
        }
    }
}

#[test]
fn listed_defaults_are_those_of_the_builders() {
    use crate::{cookie::PersistenceCookie, key::SessionKey, learn, source::ClientAddress, table::SessionTable};

    let shows = |built: String, shown: &str| assert!(built.contains(shown), "{built} has no {shown}");
    let table = format!("{:?}", SessionTable::builder());
    shows(table.clone(), &format!("capacity: {}", preset("header", "capacity")));
    assert_eq!((preset("header", "idle-timeout"), table.contains("idle: Some(1800s)")), ("30m", true));
    shows(table, "lifetime: None");
    assert_eq!(preset("path", "max-key-len"), SessionKey::MAX_LEN.to_string());
    let source = SessionKey::source(ClientAddress::connection(), equipoise_core::SourcePrefix::default());
    assert_eq!(format!("{:?}", mode("source(by=hash)")), format!("hash({source:?})"));
    shows(format!("{:?}", ClientAddress::connection()), &format!("hops: {}", preset("source", "max-hops")));
    let cookie = format!("{:?}", PersistenceCookie::insert("SRV").build().unwrap());
    assert_eq!(format!("{:?}", mode("cookie(name=SRV)")), format!("cookie({cookie}, tokens)"));
    shows(cookie.clone(), &format!("max_cookies: {}", preset("cookie", "max-cookies")));
    shows(cookie, &format!("max_bytes: {}", preset("cookie", "max-bytes")));
    let learn = learn::Learn::new().cookie("JSESSIONID").unwrap();
    let route = learn::Route::default();
    assert_eq!(format!("{:?}", mode("route(cookie=JSESSIONID)")), format!("route({learn:?}, {route:?})"));
    #[cfg(feature = "redis")]
    {
        let redis = format!("{:?}", crate::redis::RedisStore::builder(""));
        shows(redis.clone(), &format!("prefix: {:?}", preset("learn", "key-prefix")));
        shows(redis.clone(), &format!("cache_ttl: {}", preset("learn", "cache-ttl")));
        shows(redis.clone(), &format!("cache_capacity: {}", preset("learn", "cache-capacity")));
        shows(redis, "idle_timeout: 1800s");
    }
}

#[test]
fn limits_are_those_of_the_builders() {
    use crate::{cookie::PersistenceCookie, key::SessionKey, table::SessionTable};

    let limits = |mode, parameter| match definition(mode).parameter(parameter).map(Parameter::kind) {
        Some(Kind::Number { from, to }) => (from as usize, to as usize),
        _ => panic!("{mode}: {parameter}"),
    };
    let (from, to) = limits("header", "capacity");
    assert!(SessionTable::builder().capacity(from - 1).build().is_err());
    assert!(SessionTable::builder().capacity(to + 1).build().is_err());
    let (from, to) = limits("header", "max-key-len");
    for (bytes, fits) in [(from - 1, false), (from, true), (to, true), (to + 1, false)] {
        assert_eq!(SessionKey::path().max_len(bytes).is_ok(), fits, "{bytes}");
    }
    let Some(Kind::Time { from, to }) = definition("cookie").parameter("idle-timeout").map(Parameter::kind) else {
        panic!("no limits")
    };
    for idle in [from, to] {
        assert!(PersistenceCookie::insert("SRV").idle_timeout(idle).lifetime(idle).build().is_ok());
    }
}

#[test]
fn definitions_show_how_they_are_written() {
    let shown = definition("route").to_string();
    assert_eq!(
        shown,
        "route([cookie=…], [header=…], [path-parameter=…], [query=…], after-first=., [after-last=…], [whole], max-key-len=4096, missing=rebind, unavailable=rebind, [max-share=…], [force-cookie=…], ignore-paths={})"
    );
}
