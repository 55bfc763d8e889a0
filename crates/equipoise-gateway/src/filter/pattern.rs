use std::{fmt, str::FromStr};

use equipoise_proxy::__private::{normalized_path, resolved_segments};

/// A pattern for the paths of requests, without regular expressions.
///
/// A pattern begins with a slash, and is compared segment by segment with the path that a server acts on:
/// percent-encodings of ASCII are decoded, repeated slashes count as one, and `.` and `..` are resolved, as in the
/// [routes](equipoise_proxy::route) of a proxy. Upper and lower case differ. A slash at the end is significant.
///
/// | in a pattern | stands for |
/// | --- | --- |
/// | `*` in a segment | any text, also none: `/static/*.css` |
/// | `*` as a segment | any text but the empty one: `/users/*/posts` |
/// | `{name}` | the same as the segment `*` |
/// | `**` | any number of segments, also none: `/api/**`, `/**/*.php`. A pattern has it once at most |
/// | `{*name}` | the same as `**` at the end |
///
/// So `/api/**` stands for `/api`, `/api/` and `/api/x/y`, and not for `/apiary`. A comparison takes O(length of the
/// path) time.
///
/// ```
/// use equipoise_gateway::filter::PathPattern;
///
/// let scripts: PathPattern = "/**/*.php".parse()?;
/// assert!(scripts.matches("/index.php") && scripts.matches("/a/b/x.ph%70"));
/// assert!(!scripts.matches("/a.php/b"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PathPattern {
    text: Box<str>,
    before: Box<[Segment]>,
    /// The segments after `**`. `None` if the pattern has no `**`.
    after: Option<Box<[Segment]>>,
}

/// Why a text is not a pattern for paths.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path pattern {pattern:?}: {valid}")]
#[non_exhaustive]
pub struct InvalidPattern {
    /// The text that was refused.
    pub pattern: String,
    /// What would be valid.
    pub valid: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Text(Box<str>),
    /// Any text but the empty one.
    Any,
    /// Pieces of text around stars. There are at least two.
    Glob(Box<[Box<str>]>),
}

impl Segment {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Text(expected) => **expected == *text,
            Self::Any => !text.is_empty(),
            Self::Glob(pieces) => {
                let Some((first, rest)) = pieces.split_first() else { return false };
                let Some((last, middle)) = rest.split_last() else { return false };
                let Some(mut text) = text.strip_prefix(&**first) else { return false };
                // The leftmost place of each piece leaves the most text for the others.
                for piece in middle {
                    let Some((_, after)) = text.split_once(&**piece) else { return false };
                    text = after;
                }
                text.ends_with(&**last)
            }
        }
    }
}

impl PathPattern {
    /// Creates the pattern for a path and all paths below it: the same as the path with `/**` at its end.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] says what is wrong with the path.
    pub fn prefix(path: &str) -> Result<Self, InvalidPattern> {
        format!("{}/**", path.strip_suffix('/').unwrap_or(path)).parse()
    }

    /// Returns whether the pattern stands for a path, as it is in the request.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        path.starts_with('/') && self.matches_normalized(&normalized_path(path))
    }

    /// Returns whether the pattern stands for a path that was normalized.
    pub(crate) fn matches_normalized(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else { return false };
        let mut segments = rest.split('/');
        if !self.before.iter().all(|expected| segments.next().is_some_and(|found| expected.matches(found))) {
            return false;
        }
        let Some(after) = &self.after else { return segments.next().is_none() };
        // What `**` leaves is compared from the end.
        after.iter().rev().all(|expected| segments.next_back().is_some_and(|found| expected.matches(found)))
    }

    /// Returns the text of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the number of segments before `**`, if `**` is at the end of the pattern.
    pub(crate) fn prefix_segments(&self) -> Option<usize> {
        self.after.as_ref().filter(|after| after.is_empty()).map(|_| self.before.len())
    }
}

impl FromStr for PathPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let refused = |valid| InvalidPattern { pattern: text.to_owned(), valid };
        if !text.starts_with('/') {
            return Err(refused("a pattern begins with a slash, such as /api/**"));
        }
        if text.contains(['?', '#']) {
            return Err(refused("a path has no query and no fragment; use a condition on the query"));
        }
        let (mut before, mut after) = (Vec::new(), None);
        for segment in resolved_segments(text) {
            let many = segment == "**" || (segment.starts_with("{*") && segment.ends_with('}'));
            if many && after.is_some() {
                return Err(refused("a pattern has ** at most once"));
            }
            if many {
                after = Some(Vec::new());
                continue;
            }
            after.as_mut().unwrap_or(&mut before).push(self::segment(segment).map_err(refused)?);
        }
        let (before, after) = (before.into_boxed_slice(), after.map(Vec::into_boxed_slice));
        Ok(Self { text: text.into(), before, after })
    }
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    if text == "*" || name.is_some_and(|name| !name.is_empty() && !name.contains(['{', '}', '*'])) {
        return Ok(Segment::Any);
    }
    if text.contains(['{', '}']) {
        return Err("a parameter is a whole segment and has a name, such as /users/{id}");
    }
    if text.contains("**") {
        return Err("** is a whole segment, such as /api/**; write * for any text in a segment");
    }
    // What a URI cannot contain, clients send encoded.
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && !character.is_ascii_control() {
            encoded.push(character);
        } else {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    let pieces: Vec<Box<str>> = encoded.split('*').map(decoded).collect();
    match <[Box<str>; 1]>::try_from(pieces) {
        Ok([text]) => Ok(Segment::Text(text)),
        Err(pieces) => Ok(Segment::Glob(pieces.into_boxed_slice())),
    }
}

/// Decodes a piece of a segment as the paths of requests are decoded.
fn decoded(piece: &str) -> Box<str> {
    // Not at the start of a segment, because a piece `..` is not a segment.
    let path = format!("/x{piece}");
    normalized_path(&path).strip_prefix("/x").unwrap_or_default().into()
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().expect(text)
    }

    #[test]
    fn patterns_stand_for_paths() {
        for (text, matching, others) in [
            ("/", &["/", "//", "/a/.."][..], &["/a", ""][..]),
            ("/a/b", &["/a/b", "/a//b", "/%61/b", "/x/../a/b"], &["/a/b/", "/a", "/A/b"]),
            ("/api/**", &["/api", "/api/", "/api/x/y"], &["/apiary", "/", "/x/api"]),
            ("/**", &["/", "/a", "/a/b/"], &["*"]),
            ("/**/*.php", &["/x.php", "/a/b/.php", "/a/x.ph%70"], &["/x.php/", "/x.php5", "/php"]),
            ("/a/**/z", &["/a/z", "/a/b/c/z"], &["/a", "/z", "/a/z/"]),
            ("/a/**/a", &["/a/a"], &["/a"]),
            ("/users/{id}/posts", &["/users/7/posts"], &["/users//posts", "/users/7/8/posts"]),
            ("/s/a*b*c", &["/s/abc", "/s/aXbYc", "/s/abbc"], &["/s/acb", "/s/ab", "/s/xabc"]),
            ("/s/ab*ba", &["/s/abba"], &["/s/aba"]),
            ("/*", &["/x"], &["/", "/x/y"]),
            ("/caf\u{e9}/*", &["/caf%c3%a9/x"], &["/cafe/x"]),
            ("/a b", &["/a%20b"], &["/a+b"]),
        ] {
            for path in matching {
                assert!(pattern(text).matches(path), "{text} {path}");
            }
            for path in others {
                assert!(!pattern(text).matches(path), "{text} {path}");
            }
        }
    }

    #[test]
    fn patterns_that_match_nothing_are_refused() {
        for text in ["", "a", "*", "/a?b", "/a#b", "/{}", "/a{id}", "/a**", "/{a}{b}", "/**/a/**", "/{*a}/{*b}"] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_prefix_contains_its_path() {
        for text in ["/api", "/api/"] {
            let prefix = PathPattern::prefix(text).expect("a pattern");
            assert!(prefix.matches("/api") && prefix.matches("/api/x") && !prefix.matches("/apix"));
            assert_eq!(prefix.prefix_segments(), Some(1));
        }
        assert!(PathPattern::prefix("/").expect("a pattern").matches("/x"));
    }

    proptest! {
        #[test]
        fn a_glob_in_a_segment_is_a_regular_expression_without_backtracking(
            glob in "[ab]{0,2}(\\*[ab]{1,2}){0,3}\\*?", text in "[ab]{0,8}",
        ) {
            fn naive(glob: &[u8], text: &[u8]) -> bool {
                match glob.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
                    Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
                }
            }
            let found = pattern(&format!("/{glob}")).matches_normalized(&format!("/{text}"));
            let is_never_empty = glob == "*" && text.is_empty();
            prop_assert_eq!(found, naive(glob.as_bytes(), text.as_bytes()) && !is_never_empty);
        }

        #[test]
        fn no_text_is_too_much(text in "[/a*{}.%2F]{0,16}", path in "[/a.%2Fe]{0,16}") {
            if let Ok(pattern) = text.parse::<PathPattern>() {
                let _ = pattern.matches(&path);
            }
        }
    }
}
