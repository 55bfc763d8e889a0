//! What the tests of sources share.

use std::fmt;

/// Returns the names of the fields of a struct, as its debug output shows them. Fields of other crates' structs that are
/// `#[non_exhaustive]` cannot be listed in another way.
pub(super) fn fields_of(value: &impl fmt::Debug) -> Vec<String> {
    let text = format!("{value:#?}");
    let name = |line: &str| {
        let line = line.strip_prefix("    ").filter(|line| !line.starts_with(' '))?;
        Some(line.split_once(':')?.0.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Asserts that the readings are these, apart from readings of 0: names, values of labels and numbers.
#[cfg_attr(not(feature = "full"), allow(dead_code, reason = "only listeners have readings"))]
pub(super) fn check(read: impl FnOnce(&mut Vec<crate::report::Reading>), expected: &[(&str, Option<&str>, u64)]) {
    let mut readings = Vec::new();
    read(&mut readings);
    let labels = |reading: &crate::report::Reading| (reading.name, reading.label);
    for (at, reading) in readings.iter().enumerate() {
        assert!(!readings[..at].iter().any(|other| labels(other) == labels(reading)), "{reading:?} twice");
    }
    let found: Vec<_> = readings
        .iter()
        .filter(|reading| reading.value > 0)
        .map(|reading| (reading.name, reading.label.map(|(_, value)| value), reading.value))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_fields_of_a_struct_are_found_and_not_those_within_them() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its debug output is read")]
    struct Outer {
        one: u64,
        list: [u64; 2],
        inner: Option<Inner>,
    }
    #[derive(Debug)]
    #[expect(dead_code, reason = "only its debug output is read")]
    struct Inner {
        two: u64,
    }
    assert_eq!(fields_of(&Outer { one: 1, list: [1, 2], inner: Some(Inner { two: 2 }) }), ["one", "list", "inner"]);
}
