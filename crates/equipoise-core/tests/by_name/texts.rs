//! Random texts: valid ones, and valid ones with errors added.

use std::collections::BTreeMap;

use equipoise_core::{
    InvalidStrategy, StrategySpec,
    strategy::by_name::{self, Kind, Preset},
};
use proptest::prelude::*;

/// A random valid value of a parameter, as text.
fn value(kind: Kind, depth: u32) -> BoxedStrategy<String> {
    let text = || {
        prop_oneof![
            "[a-z][a-z0-9-]{0,8}",
            "\\PC{0,8}".prop_map(|text| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))),
        ]
    };
    match kind {
        Kind::Number { from, to } => (from..=to).prop_map(|number| number.to_string()).boxed(),
        Kind::Real { .. } => (0.01..8.0f64).prop_map(|real| real.to_string()).boxed(),
        Kind::Time { .. } => prop_oneof![
            (0u64..=u64::MAX).prop_map(|nanos| format!("{nanos}ns")),
            (0u32..10_000, 0u32..1000).prop_map(|(whole, parts)| format!("{whole}.{parts:03}s")),
            (0u32..100, "h|m|ms|us").prop_map(|(whole, unit)| format!("{whole}{unit}")),
        ]
        .boxed(),
        Kind::Bool => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        Kind::Text => text().boxed(),
        Kind::Range => (1u32..5000, 0u32..5000).prop_map(|(from, more)| format!("{from}..{}", from + more)).boxed(),
        Kind::NumbersByName => proptest::collection::vec((text(), any::<u32>()), 0..4)
            .prop_map(|shares| {
                // Names are distinct, with or without quotes.
                let distinct: BTreeMap<_, _> = shares
                    .into_iter()
                    .map(|(name, share)| (name.trim_matches('"').to_owned(), (name, share)))
                    .collect();
                let shares: Vec<_> = distinct.values().map(|(name, share)| format!("{name}={share}")).collect();
                format!("{{{}}}", shares.join(","))
            })
            .boxed(),
        Kind::Strategy => text_of(depth - 1),
        other => panic!("no values of {other}"),
    }
}

/// A random text of a strategy. Most are valid. Some have values that the builder refuses, such as a table of 12
/// entries.
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
            // The builder refused the values.
            Err(InvalidStrategy::Refused { .. }) => {}
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
