//! Random texts: valid ones, and valid ones with errors added.

use proptest::prelude::*;

use super::{AffinitySpec, InvalidAffinity};
use crate::by_name::{self, Kind, Preset};

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A random valid value of a parameter, as text.
fn value(parameter: &'static str, kind: Kind) -> BoxedStrategy<String> {
    let text = || {
        prop_oneof![
            4 => "[a-z][a-z0-9-]{0,8}",
            1 => "[!#$%&'*^`|~]{1,4}".prop_map(|text| quoted(&text)),
            1 => "\\PC{0,8}".prop_map(|text| quoted(&text)),
        ]
    };
    match kind {
        // Small, because a table may allocate its whole capacity when it is built.
        Kind::Number { from, .. } if parameter == "capacity" => {
            (from..100).prop_map(|number| number.to_string()).boxed()
        }
        Kind::Number { from, to } => (from..=to).prop_map(|number| number.to_string()).boxed(),
        Kind::Real { from, to } => (from..to).prop_map(|real| real.to_string()).boxed(),
        Kind::Time { from, to } => prop_oneof![
            (from.as_millis()..=to.as_millis()).prop_map(|millis| format!("{millis}ms")),
            (1u32..60, 0u32..1000).prop_map(|(whole, parts)| format!("{whole}.{parts:03}s")),
        ]
        .boxed(),
        Kind::Flag => any::<bool>().prop_map(|flag| flag.to_string()).boxed(),
        Kind::Character => any::<char>().prop_map(|c| quoted(&char::from(c as u8 & 127).to_string())).boxed(),
        Kind::Choice(words) => proptest::sample::select(words).prop_map(str::to_owned).boxed(),
        Kind::List if parameter == "trusted" => {
            proptest::collection::vec("10\\.[0-9]\\.0\\.0/16|private|loopback|::1", 0..4)
                .prop_map(|texts| format!("{{{}}}", texts.join(",")))
                .boxed()
        }
        Kind::List => {
            proptest::collection::vec(text(), 0..4).prop_map(|texts| format!("{{{}}}", texts.join(","))).boxed()
        }
        Kind::TextsByName => proptest::collection::vec((text(), text()), 0..4)
            .prop_map(|names| {
                let names: Vec<_> = names.into_iter().map(|(name, text)| format!("{name} = {text}")).collect();
                format!("{{{}}}", names.join(","))
            })
            .boxed(),
        Kind::ChoiceOrTimed { .. } => prop_oneof![
            "rebind|refuse",
            (1u32..100).prop_map(|tenths| format!("wait({}.{}s)", tenths / 10, tenths % 10))
        ]
        .boxed(),
        Kind::Text => text().boxed(),
        other => panic!("no values of {other}"),
    }
}

/// A random text of an affinity mode. Most are valid. Some have parameters that cannot be combined.
fn any_text() -> BoxedStrategy<String> {
    proptest::sample::select(by_name::all().iter().collect::<Vec<_>>())
        .prop_flat_map(|definition| {
            let arguments: Vec<_> = definition
                .parameters()
                .iter()
                .map(|parameter| {
                    let name = parameter.name();
                    let set = value(name, parameter.kind()).prop_map(move |value| Some(format!("{name}={value}")));
                    match parameter.preset() {
                        Preset::Required => set.boxed(),
                        _ => prop_oneof![4 => Just(None), 1 => set].boxed(),
                    }
                })
                .collect();
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
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_written_is_read_back_as_it_was(text in any_text()) {
        match text.parse::<AffinitySpec>() {
            Ok(spec) => {
                let written = spec.to_string();
                let again: AffinitySpec = written.parse().map_err(|error| {
                    TestCaseError::fail(format!("{text}, written as {written}: {error}"))
                })?;
                prop_assert_eq!(&again, &spec);
                prop_assert_eq!(again.to_string(), written);
                // Building may fail, because there is no Redis server and no runtime here. But the parameters of a text
                // that was accepted must not be refused.
                let built = spec.definition().make().mode(&super::Settings::of(&spec.0), &super::context());
                prop_assert!(!matches!(built, Err(by_name::BuildAffinityError::Refused(_))), "{text}: {built:?}");
            }
            // Random names that are not valid, and parameters that cannot be combined.
            Err(InvalidAffinity::Refused { .. }) => {}
            Err(InvalidAffinity::Syntax { expected, .. }) if expected.starts_with("a name that") => {}
            Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Err(error) = text.parse::<AffinitySpec>() {
            let _ = error.to_string();
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Err(error) = String::from_utf8_lossy(&bytes).parse::<AffinitySpec>() {
            let _ = error.to_string();
        }
    }

    #[test]
    fn no_valid_text_with_an_error_in_it_makes_it_panic(
        text in any_text(),
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
        match characters.into_iter().collect::<String>().parse::<AffinitySpec>() {
            Ok(spec) => prop_assert_eq!(spec.to_string().parse::<AffinitySpec>(), Ok(spec)),
            Err(error) => drop(error.to_string()),
        }
    }

    #[test]
    fn a_text_cut_short_is_refused_or_another(text in any_text(), at in any::<proptest::sample::Index>()) {
        let cut: String = text.chars().take(at.index(text.chars().count())).collect();
        if let Err(error) = cut.parse::<AffinitySpec>() {
            let _ = error.to_string();
        }
    }
}
