//! Suggestions for unknown names: the known name that was probably meant.

/// The maximum length of names that are compared. The time of a comparison grows with the product of both lengths.
const MAX_LENGTH: usize = 32;

/// Returns `did you mean NAME? `, or an empty text if no known name is similar.
pub(super) fn suggestion<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    most_similar(given, known).map_or_else(String::new, |name| format!("did you mean {name}? "))
}

/// Returns the known name that was probably meant by `given`, or `None` if no known name is similar. Use it for errors
/// about names that are not known.
///
/// Case, `-` and `_` are ignored. A name is similar if at most a third of its letters differ, or one letter of a short
/// name. A difference is a letter that is added, left out, replaced, or swapped with the next one. Names of more than
/// 32 letters are never similar. Of several names that are equally similar, the first one is returned.
///
/// ```
/// use equipoise_core::spec::most_similar;
///
/// assert_eq!(most_similar("adress", ["weight", "address"]), Some("address"));
/// assert_eq!(most_similar("port", ["weight", "address"]), None);
/// ```
pub fn most_similar<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| -> Vec<char> {
        name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).take(MAX_LENGTH + 1).collect()
    };
    let meant = plain(given);
    if meant.is_empty() || meant.len() > MAX_LENGTH {
        return None;
    }
    let near = known.into_iter().filter_map(|name| {
        let other = plain(name);
        let distance = distance(&meant, &other);
        (distance <= (meant.len().max(other.len()) / 3).max(1)).then_some((distance, name))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Returns the number of differences: the Damerau distance with swaps of adjacent letters only ("optimal string
/// alignment").
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(i + 1);
        for (j, b) in other.iter().enumerate() {
            let replaced = last[j] + usize::from(a != b);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["p2c", "peak-ewma", "least-time", "least-connections", "round-robin", "random"];
        for (given, meant) in [
            ("p2d", "p2c"),
            ("pc2", "p2c"),
            ("P2C", "p2c"),
            ("peek-ewma", "peak-ewma"),
            ("peak_ewma", "peak-ewma"),
            ("PeakEwma", "peak-ewma"),
            ("leasttime", "least-time"),
            ("leastconnection", "least-connections"),
            ("roundrobin", "round-robin"),
            ("randon", "random"),
        ] {
            assert_eq!(suggestion(given, known.into_iter()), format!("did you mean {meant}? "), "{given}");
        }
        let long = "p2c".repeat(100_000);
        for given in ["", "--", "weighted", "x", &long] {
            assert_eq!(suggestion(given, known.into_iter()), "");
        }
    }

    #[test]
    fn a_swap_counts_once() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        for (one, other, expected) in [("ab", "ba", 1), ("abc", "abc", 0), ("", "ab", 2), ("kitten", "sitting", 3)] {
            assert_eq!(distance(&chars(one), &chars(other)), expected, "{one} {other}");
        }
    }
}
