//! The list of strategies, and the default values of their parameters.

use std::collections::BTreeSet;

use equipoise_core::{
    Aperture, BoundedLoad, LeastTime, LogEwma, Maglev, P2c, PeakEwma, PickRequest, Ring, SlowStart, Verdict, ZoneAware,
    strategy::by_name::{self, Preset},
};

use crate::{common::pool_of, smallest::smallest, spec};

#[test]
fn every_strategy_is_made_and_picks() {
    for definition in by_name::all() {
        let spec = spec(&smallest(definition));
        assert_eq!(spec.name(), definition.name());
        let pool = pool_of(spec.build(), &[1, 2, 3], 1);
        for request in [PickRequest::new(), PickRequest::new().key(b"user-42")] {
            for _ in 0..20 {
                pool.pick(&request).unwrap_or_else(|error| panic!("{spec}: {error}")).finish(Verdict::Success);
            }
        }
    }
}

#[test]
fn names_and_parameters_are_unique() {
    let names: BTreeSet<_> = by_name::all().iter().map(by_name::StrategyDefinition::name).collect();
    assert_eq!(names.len(), by_name::all().len());
    for definition in by_name::all() {
        let parameters: BTreeSet<_> = definition.parameters().iter().map(by_name::Parameter::name).collect();
        assert_eq!(parameters.len(), definition.parameters().len(), "{definition}");
    }
}

#[test]
fn what_is_listed_with_its_defaults_is_the_strategy_itself() {
    for definition in by_name::all() {
        let set = |parameter: &by_name::Parameter| match parameter.preset() {
            Preset::Is(value) => Some(format!("{}={value}", parameter.name())),
            _ => None,
        };
        let defaults: Vec<_> = definition.parameters().iter().filter_map(set).collect();
        if defaults.is_empty() {
            continue;
        }
        let smallest = smallest(definition);
        let spelled_out = match smallest.strip_suffix(')') {
            Some(open) => format!("{open}, {})", defaults.join(", ")),
            None => format!("{smallest}({})", defaults.join(", ")),
        };
        assert_eq!(spec(&spelled_out), spec(&smallest), "{spelled_out}");
        assert_eq!(spec(&spelled_out).to_string(), smallest);
    }
}

#[test]
fn listed_defaults_are_those_of_the_builders() {
    fn preset(strategy: &str, parameter: &str) -> &'static str {
        let definition = by_name::all().iter().find(|known| known.name() == strategy).expect(strategy);
        match definition.parameters().iter().find(|known| known.name() == parameter).expect(parameter).preset() {
            Preset::Is(value) => value,
            other => panic!("{strategy}: {parameter} is {other}"),
        }
    }
    fn shows(strategy: impl std::fmt::Debug, shown: &[&str]) {
        let text = format!("{strategy:?}");
        shown.iter().for_each(|shown| assert!(text.contains(shown), "{text} has no {shown}"));
    }
    let said = |shown: &str, strategy, parameter| format!("{shown}: {}", preset(strategy, parameter));

    assert_eq!(P2c::new().choices().to_string(), preset("p2c", "choices"));
    let choices = format!("Choices({})", preset("least-time", "choices"));
    shows(LeastTime::new(), &[&choices, &said("period", "least-time", "period")]);
    let ewma = ["decay", "fade", "penalty"].map(|name| said(name, "peak-ewma", name));
    shows(PeakEwma::new(), &ewma.each_ref().map(String::as_str));
    let ewma = ["decay", "fade", "penalty"].map(|name| said(name, "log-ewma", name));
    shows(LogEwma::new(), &ewma.each_ref().map(String::as_str));
    let (min, max) = (preset("log-ewma", "min-trial-interval"), preset("log-ewma", "max-trial-interval"));
    let choices = format!("Choices({})", preset("log-ewma", "choices"));
    shows(LogEwma::new(), &[&choices, &format!("min_trial_interval: {min}"), &format!("max_trial_interval: {max}")]);
    shows(Maglev::new(), &[&said("size", "maglev", "table"), &said("seed", "maglev", "seed"), "fallback: Random"]);
    let (least, most) = preset("ring", "sizes").split_once("..").expect("a range");
    let points = said("points", "ring", "points");
    shows(Ring::new(), &[&points, &format!("least: {least}"), &format!("most: {most}"), "fallback: Random"]);
    shows(
        Aperture::new(P2c::new(), 0, 1).unwrap(),
        &[&said("min_endpoints", "aperture", "min-endpoints"), "min_eligible: None"],
    );
    shows(ZoneAware::new(P2c::new(), "here"), &[&said("min_eligible", "zone-aware", "min-eligible"), "callers: None"]);
    shows(
        SlowStart::new(P2c::new()),
        &["window: 30000000000", "exponent: 1.0", "floor: 0.1", "include_first_members: false"],
    );
    let slow_start = ["window", "aggression", "floor", "include-first-members"].map(|name| preset("slow-start", name));
    assert_eq!(slow_start, ["30s", "1", "0.1", "false"]);
    let factor: f64 = preset("bounded-load", "factor").parse().unwrap();
    let [by_default, set] = [BoundedLoad::new(P2c::new()), BoundedLoad::new(P2c::new()).factor(factor).unwrap()];
    assert_eq!(format!("{by_default:?}"), format!("{set:?}"));
}
