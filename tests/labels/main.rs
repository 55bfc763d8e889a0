//! The labels of the public enums for metrics and logs: within each enum they are unique, and in snake_case.

mod affinity;
mod core;
mod health;
mod proxy;
mod tower;

use std::collections::HashSet;

/// Checks the labels of all variants of an enum.
fn check<'a>(labels: impl IntoIterator<Item = &'a str>) {
    let mut seen = HashSet::new();
    for label in labels {
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        assert!(label.split('_').all(is_word), "{label:?}");
        assert!(seen.insert(label), "{label:?} stands for two things");
    }
}
