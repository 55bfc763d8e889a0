//! Strategies by name: what is read, written, refused and listed.

mod common;

use std::collections::BTreeSet;

use equipoise_core::{
    AnyStrategy, Aperture, BoundedLoad, InvalidStrategy, LeastTime, Maglev, P2c, PeakEwma, PickRequest, Ring,
    SlowStart, Strategy as _, StrategySpec, Verdict, ZoneAware,
    strategy::by_name::{self, Kind, Preset},
};
use proptest::prelude::*;

use crate::common::{pool_of, specs};

fn spec(text: &str) -> StrategySpec {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> InvalidStrategy {
    match text.parse::<StrategySpec>() {
        Ok(spec) => panic!("{text} was read as {spec}"),
        Err(error) => error,
    }
}

/// A strategy with only what it must be given.
fn smallest(definition: &by_name::Definition) -> String {
    let mut arguments: Vec<String> = definition.wraps().then(|| "p2c".to_owned()).into_iter().collect();
    for (at, parameter) in definition.parameters().iter().enumerate() {
        if parameter.preset() == Preset::Required {
            let value = if parameter.kind() == Kind::Text { "here".to_owned() } else { (at + 1).to_string() };
            arguments.push(format!("{}={value}", parameter.name()));
        }
    }
    if arguments.is_empty() {
        definition.name().to_owned()
    } else {
        format!("{}({})", definition.name(), arguments.join(", "))
    }
}

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
fn names_and_parameters_are_told_apart() {
    let names: BTreeSet<_> = by_name::all().iter().map(by_name::Definition::name).collect();
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
    shows(Maglev::new(), &[&said("size", "maglev", "table"), &said("seed", "maglev", "seed"), "fallback: Random"]);
    let (least, most) = preset("ring", "sizes").split_once("..").expect("a range");
    let points = said("points", "ring", "points");
    shows(Ring::new(), &[&points, &format!("least: {least}"), &format!("most: {most}"), "fallback: Random"]);
    shows(Aperture::new(P2c::new(), 0, 1).unwrap(), &[&said("minimum", "aperture", "minimum"), "at_least: None"]);
    shows(ZoneAware::new(P2c::new(), "here"), &[&said("minimum", "zone-aware", "minimum"), "callers: None"]);
    shows(SlowStart::new(P2c::new()), &["window: 30000000000", "exponent: 1.0", "floor: 0.1", "from_the_first: false"]);
    let slow_start = ["window", "aggression", "floor", "from-the-first"].map(|name| preset("slow-start", name));
    assert_eq!(slow_start, ["30s", "1", "0.1", "false"]);
    let factor: f64 = preset("bounded-load", "factor").parse().unwrap();
    let [by_default, set] = [BoundedLoad::new(P2c::new()), BoundedLoad::new(P2c::new()).factor(factor).unwrap()];
    assert_eq!(format!("{by_default:?}"), format!("{set:?}"));
}

#[test]
fn what_is_written_is_what_differs_from_the_defaults() {
    for (given, written) in [
        ("p2c", "p2c"),
        ("  p2c ( ) ", "p2c"),
        ("p2c(choices = 3)", "p2c(choices=3)"),
        ("peak-ewma(penalty=5000ms,decay=90s,fade=0.25s)", "peak-ewma(decay=90s, fade=250ms)"),
        ("least-time(period=1h)", "least-time(period=1h)"),
        ("least-time(period=1.5us)", "least-time(period=1.5us)"),
        ("least-time(period=0ns)", "least-time(period=0s)"),
        ("least-time(period=1.000000001s)", "least-time(period=1.000000001s)"),
        ("maglev(seed=0x10, fallback=random())", "maglev(seed=16)"),
        ("maglev(fallback=peak-ewma(decay=5s))", "maglev(fallback=peak-ewma(decay=5s))"),
        ("ring(sizes=4096..65536)", "ring(sizes=4096..65536)"),
        ("bounded-load(factor=1.250, ring(points=160))", "bounded-load(ring)"),
        ("bounded-load(factor=2, ring)", "bounded-load(ring, factor=2)"),
        ("subset(p2c, seed=7, size=20)", "subset(p2c, size=20, seed=7)"),
        ("aperture(p2c, peer=3, peers=8, at-least=2)", "aperture(p2c, peer=3, peers=8, at-least=2)"),
        (r#"zone-aware(p2c, zone="eu-1a")"#, "zone-aware(p2c, zone=eu-1a)"),
        (r#"zone-aware(p2c, zone="a \"b\\, ü)")"#, r#"zone-aware(p2c, zone="a \"b\\, ü)")"#),
        (r#"zone-aware(p2c, zone="")"#, r#"zone-aware(p2c, zone="")"#),
        (r#"zone-aware(p2c, zone=x, callers={ "in b" = 2 })"#, r#"zone-aware(p2c, zone=x, callers={"in b"=2})"#),
        ("zone-aware(p2c, callers={eu-1b=2,eu-1a=3}, zone=x)", "zone-aware(p2c, zone=x, callers={eu-1a=3, eu-1b=2})"),
        ("zone-aware(p2c, callers={}, zone=x)", "zone-aware(p2c, zone=x, callers={})"),
        (
            "slow-start(slow-start(edf(seed=1), floor=1), from-the-first=true)",
            "slow-start(slow-start(edf(seed=1), floor=1), from-the-first=true)",
        ),
    ] {
        assert_eq!(spec(given).to_string(), written, "{given}");
        assert_eq!(spec(written), spec(given), "{given}");
    }
}

#[test]
fn what_is_wrong_is_refused_with_what_would_be_right() {
    let names = by_name::all().iter().map(by_name::Definition::name).collect::<Vec<_>>().join(", ");
    for (text, message) in [
        ("", r#"the name of a strategy should stand (at 1), not the end"#),
        ("p2d", &*format!("there is no strategy \"p2d\" (at 1): there are {names}")),
        ("P2C", &*format!("there is no strategy \"P2C\" (at 1): there are {names}")),
        ("slow-start(p2d)", &*format!("there is no strategy \"p2d\" (at 12): there are {names}")),
        ("p2c(choice=3)", r#"p2c has no parameter "choice" (at 5): its parameters are choices"#),
        ("random(seed=3)", r#"random has no parameter "seed" (at 8): it has no parameters"#),
        ("p2c(choices=1)", r#"p2c cannot have choices="1" (at 13): choices is a whole number from 2 to 10, such as 2"#),
        ("p2c(choices=)", r#"p2c cannot have choices="" (at 13): choices is a whole number from 2 to 10, such as 2"#),
        (
            "maglev(seed=-1)",
            r#"maglev cannot have seed="-1" (at 13): seed is a whole number from 0 on, below 2^64, such as 0"#,
        ),
        (
            "peak-ewma(decay=10)",
            r#"peak-ewma cannot have decay="10" (at 17): decay is a time in h, m, s, ms, us or ns, such as 10s"#,
        ),
        ("slow-start(p2c, floor=nan)", r#"slow-start cannot have floor="nan" (at 23): floor is a number, such as 0.1"#),
        (
            "slow-start(p2c, from-the-first=yes)",
            r#"slow-start cannot have from-the-first="yes" (at 32): from-the-first is true or false, such as false"#,
        ),
        ("p2c(choices=2, choices=3)", "p2c is given choices twice (at 16)"),
        ("p2c(choices=2", r#""," or ")" should stand (at 14), not the end"#),
        ("p2c(choices=2))", r#"the end should stand (at 15), not ')'"#),
        ("p2c random", r#"the end should stand (at 5), not 'r'"#),
        ("p2c(choices)", r#""=" and a value should stand (at 12), not ')'"#),
        ("p2c(", "a parameter should stand (at 5), not the end"),
        ("slow-start(", "a strategy or a parameter should stand (at 12), not the end"),
        ("p2c(random)", r#"p2c wraps no strategy, so "random" (at 5) has no place there; its parameters are choices"#),
        (
            "bounded-load(ring, jump)",
            r#"bounded-load wraps one strategy, so "jump" (at 20) has no place there; its parameters are factor"#,
        ),
        ("bounded-load", "bounded-load (at 1) wraps another strategy, which stands in its brackets: bounded-load(p2c)"),
        ("subset(p2c, size=3)", "subset (at 1) needs seed=…: seed is a whole number from 0 on, below 2^64, such as 7"),
        (
            "maglev(table=1000)",
            "maglev (at 1): 1000 is no size for a Maglev table: it is a prime number of at most 5000011 (65537, 655373 or 5000011), best a hundred times the number of endpoints",
        ),
        (
            "slow-start(bounded-load(ring, factor=0.5))",
            "bounded-load (at 12): 0.5 is no factor for bounded loads: it is at least 1, and usually from 1.2 to 2",
        ),
        (
            "aperture(p2c, peer=8, peers=8)",
            "aperture (at 1): there is no client number 8 among 8: clients are numbered from 0 to one less than there are",
        ),
        (r#"zone-aware(p2c, zone="x)"#, "a closing quote should stand (at 25), not the end"),
        (
            "zone-aware(p2c, zone=x, callers={a=1, a=2})",
            "the number of another name: this one has one should stand (at 41), not '2'",
        ),
        (
            "zone-aware(p2c, zone=x, callers=3)",
            r#"zone-aware cannot have callers="3" (at 33): callers is a list of whole numbers below 2^32, each with its name, such as {eu-1a=3, eu-1b=2}"#,
        ),
    ] {
        assert_eq!(refusal(text).to_string(), message, "{text}");
    }
}

#[test]
fn strategies_nest_sixteen_deep_and_no_deeper() {
    let nested = |depth: usize| format!("{}p2c{}", "slow-start(".repeat(depth - 1), ")".repeat(depth - 1));
    assert_eq!(spec(&nested(by_name::DEEPEST)).to_string(), nested(by_name::DEEPEST));
    assert!(matches!(refusal(&nested(by_name::DEEPEST + 1)), InvalidStrategy::TooDeep { at } if at.byte == 176));
    assert!(matches!(refusal(&"slow-start(".repeat(100_000)), InvalidStrategy::TooDeep { .. }));
    assert!(matches!(refusal(&"maglev(fallback=".repeat(100_000)), InvalidStrategy::TooDeep { .. }));
}

#[test]
fn settings_reach_the_strategy() {
    // By name and by type, the same endpoint for the same key.
    let by_name = pool_of(spec("maglev(table=4099, seed=7)").build(), &[1, 2, 3, 4], 1);
    let by_type = pool_of(Maglev::new().table_size(4099).unwrap().seed(7), &[1, 2, 3, 4], 1);
    let other = pool_of(Maglev::new(), &[1, 2, 3, 4], 1);
    let mut differs = false;
    for n in 0..100u32 {
        let key = n.to_le_bytes();
        let request = PickRequest::new().key(&key);
        let [a, b, c] = [&by_name, &by_type, &other].map(|pool| pool.pick(&request).unwrap().endpoint().id().clone());
        assert_eq!(a, b);
        differs |= a != c;
    }
    assert!(differs);
}

#[test]
fn a_wrapped_strategy_learns_through_its_wrappers() {
    // All that fails is `e0`; peak-ewma, three wrappers down, is told of it and turns away.
    let pool = pool_of(spec("slow-start(bounded-load(maglev(fallback=peak-ewma), factor=8))").build(), &[1, 1], 1);
    let mut served = [0; 2];
    for _ in 0..100 {
        let lease = pool.pick(&PickRequest::new()).unwrap();
        let at = lease.endpoint().slot().index();
        served[at] += 1;
        lease.finish(if at == 0 { Verdict::Failure(equipoise_core::Failure::Server) } else { Verdict::Success });
    }
    assert!(served[0] < 10, "{served:?}");
}

#[test]
fn a_wrapper_needs_what_it_wraps_needs() {
    assert!(spec("slow-start(bounded-load(ring))").build().needs().places_by_key());
    assert!(!AnyStrategy::from(spec("slow-start(p2c)")).needs().places_by_key());
}

#[test]
fn each_build_is_a_strategy_of_its_own() {
    let spec = spec("bounded-load(least-connections)");
    let pools = [1, 2].map(|seed| pool_of(spec.build(), &[1, 1], seed));
    let leases: Vec<_> = (0..4).map(|_| pools[0].pick(&PickRequest::new()).unwrap()).collect();
    assert_eq!(pools[1].endpoints().iter().map(|endpoint| endpoint.in_flight).sum::<u32>(), 0);
    pools[1].update(specs(&[1, 1, 1]), |_| ()).unwrap();
    assert!(pools[1].pick(&PickRequest::new()).is_ok());
    drop(leases);
}

#[test]
fn a_repeatable_start_is_given_where_none_is_set() {
    assert_eq!(spec("slow-start(edf)").repeatable(7).to_string(), "slow-start(edf(seed=7))");
    assert_eq!(spec("slow-start(edf(seed=1))").repeatable(7), spec("slow-start(edf(seed=1))"));
    assert_eq!(spec("maglev").repeatable(7), spec("maglev"));
}

#[cfg(feature = "serde")]
#[test]
fn it_is_serialized_as_its_text() {
    let given = spec("bounded-load(ring(points=40), factor=1.5)");
    let json = serde_json::to_string(&given).unwrap();
    assert_eq!(json, r#""bounded-load(ring(points=40), factor=1.5)""#);
    assert_eq!(serde_json::from_str::<StrategySpec>(&json).unwrap(), given);
    assert_eq!(serde_json::from_value::<StrategySpec>(serde_json::json!("p2c")).unwrap(), spec("p2c"));
    let error = serde_json::from_str::<StrategySpec>(r#""p2c(choices=1)""#).unwrap_err().to_string();
    assert!(error.contains("a whole number from 2 to 10"), "{error}");
    let error = serde_json::from_str::<StrategySpec>("3").unwrap_err().to_string();
    assert!(error.contains("a strategy by name"), "{error}");
}

/// The text of a parameter's value.
fn value(kind: Kind, depth: u32) -> BoxedStrategy<String> {
    let text = || {
        prop_oneof![
            "[a-z][a-z0-9-]{0,8}",
            "\\PC{0,8}".prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))),
        ]
    };
    match kind {
        Kind::Number { from, to } => (from..=to).prop_map(|number| number.to_string()).boxed(),
        Kind::Real => (0.01..8.0f64).prop_map(|real| real.to_string()).boxed(),
        Kind::Time => prop_oneof![
            (0u64..=u64::MAX).prop_map(|nanos| format!("{nanos}ns")),
            (0u32..10_000, 0u32..1000).prop_map(|(whole, parts)| format!("{whole}.{parts:03}s")),
            (0u32..100, "h|m|ms|us").prop_map(|(whole, unit)| format!("{whole}{unit}")),
        ]
        .boxed(),
        Kind::Flag => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        Kind::Text => text().boxed(),
        Kind::Range => (1u32..5000, 0u32..5000).prop_map(|(from, more)| format!("{from}..{}", from + more)).boxed(),
        Kind::Shares => proptest::collection::vec((text(), any::<u32>()), 0..4)
            .prop_map(|shares| {
                let shares: Vec<_> = shares.into_iter().map(|(name, share)| format!("{name}={share}")).collect();
                format!("{{{}}}", shares.join(","))
            })
            .boxed(),
        Kind::Strategy => text_of(depth - 1),
        other => panic!("no values of {other}"),
    }
}

/// Mostly valid: what builders refuse (a table of 12 entries) is among it.
fn text_of(depth: u32) -> BoxedStrategy<String> {
    if depth == 0 {
        return Just("p2c".to_owned()).boxed();
    }
    proptest::sample::select(by_name::all().iter().collect::<Vec<_>>())
        .prop_flat_map(move |definition| {
            let inner = definition.wraps().then(|| text_of(depth - 1).prop_map(Some).boxed());
            let mut arguments: Vec<BoxedStrategy<Option<String>>> = inner.into_iter().collect();
            for parameter in definition.parameters() {
                let name = parameter.name();
                let values = match (definition.name(), name) {
                    ("maglev", "table") => {
                        proptest::sample::select(vec!["2", "4099", "65537"]).prop_map(str::to_owned).boxed()
                    }
                    _ => value(parameter.kind(), depth),
                };
                let set = values.prop_map(move |value| Some(format!("{name}={value}")));
                arguments.push(if parameter.preset() == Preset::Required {
                    set.boxed()
                } else {
                    prop_oneof![Just(None), set].boxed()
                });
            }
            (arguments, any::<bool>()).prop_map(move |(arguments, turned)| {
                let mut arguments: Vec<String> = arguments.into_iter().flatten().collect();
                if turned {
                    arguments.reverse();
                }
                format!("{}({})", definition.name(), arguments.join(", "))
            })
        })
        .boxed()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_as_it_was(text in text_of(4)) {
        match text.parse::<StrategySpec>() {
            Ok(spec) => {
                let written = spec.to_string();
                let again: StrategySpec = written.parse().map_err(|error| {
                    TestCaseError::fail(format!("{text}, written as {written}: {error}"))
                })?;
                prop_assert_eq!(&again, &spec);
                prop_assert_eq!(again.to_string(), written);
                let _ = spec.build();
            }
            // By its builder, or because two shares have one name.
            Err(InvalidStrategy::Refused { .. }) => {}
            Err(InvalidStrategy::Syntax { expected, .. }) if expected.starts_with("the number of another") => {}
            Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Err(error) = text.parse::<StrategySpec>() {
            let _ = error.to_string();
        }
    }

    #[test]
    fn no_valid_text_with_an_error_in_it_makes_it_panic(
        text in text_of(3),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), 0usize..3, "[(){}=,.\"\\\\ 0-9a-zü\\-]"), 1..4),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (index, edit, other) in edits {
            if characters.is_empty() {
                break;
            }
            let (at, other) = (index.index(characters.len()), other.chars().next().unwrap());
            match edit {
                0 => drop(characters.remove(at)),
                1 => characters.insert(at, other),
                _ => characters[at] = other,
            }
        }
        match characters.into_iter().collect::<String>().parse::<StrategySpec>() {
            Ok(spec) => prop_assert_eq!(spec.to_string().parse::<StrategySpec>(), Ok(spec)),
            Err(error) => drop(error.to_string()),
        }
    }

    #[test]
    fn a_text_cut_short_is_refused_or_another(text in text_of(3), at in any::<proptest::sample::Index>()) {
        let cut: String = text.chars().take(at.index(text.chars().count())).collect();
        if let Err(error) = cut.parse::<StrategySpec>() {
            let _ = error.to_string();
        }
    }
}
