use super::normal::{decoded, is_ambiguous, resolved, without_parameters};

/// The target of an `OPTIONS` request that is about the server. It is not a path.
pub(super) const ASTERISK: &str = "*";

/// The pattern of a route's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathPattern {
    pub(super) segments: Vec<Segment>,
    /// Whether further segments may follow.
    pub(super) is_prefix: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// This text. It is empty at the end of a path with a slash at its end.
    Text(Box<str>),
    /// Any text except the empty one.
    Parameter,
}

impl PathPattern {
    /// Returns the pattern of all paths.
    pub(super) fn any() -> Self {
        Self { segments: Vec::new(), is_prefix: true }
    }

    /// Parses the pattern of a whole path. `{name}` stands for a segment, and `{*name}` at the end for all that
    /// follows.
    pub(super) fn whole(pattern: &str) -> Result<Self, &'static str> {
        match pattern.rsplit_once('/') {
            Some((before, last)) if last.starts_with("{*") && last.ends_with('}') => Self::prefix(before),
            _ => Ok(Self { segments: segments(pattern)?, is_prefix: false }),
        }
    }

    /// Parses the pattern of the start of a path. `/api` and `/api/` are the same prefix.
    pub(super) fn prefix(pattern: &str) -> Result<Self, &'static str> {
        let mut segments = if pattern.is_empty() { Vec::new() } else { segments(pattern)? };
        if segments.last() == Some(&Segment::Text("".into())) {
            segments.pop();
        }
        Ok(Self { segments, is_prefix: true })
    }

    /// Returns the first segment about which servers disagree: see [`is_ambiguous`] and [`without_parameters`].
    pub(super) fn ambiguous_segment(&self) -> Option<&str> {
        self.segments.iter().find_map(|segment| match segment {
            Segment::Text(text) if is_ambiguous(text) || without_parameters(text) != **text => Some(&**text),
            _ => None,
        })
    }
}

fn segments(pattern: &str) -> Result<Vec<Segment>, &'static str> {
    if !pattern.starts_with('/') {
        return Err("a path begins with a slash, such as /api");
    }
    if pattern.contains(['?', '#']) {
        return Err("a path has no query and no fragment; use a condition on the query");
    }
    resolved(pattern).into_iter().map(segment).collect()
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    if let Some(name) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        return match name {
            "" => Err("a parameter has a name, such as {id}"),
            _ if name.starts_with('*') => Err("{*name} stands at the end of a path"),
            _ if name.contains(['{', '}']) => Err("a parameter is a whole segment, such as /users/{id}"),
            _ => Ok(Segment::Parameter),
        };
    }
    if text.contains(['{', '}']) {
        return Err("a parameter is a whole segment, such as /users/{id}");
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
    if encoded.contains("%00") {
        return Err("a path has no NUL");
    }
    Ok(Segment::Text(decoded(&encoded).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_segments() {
        let text = |text: &str| Segment::Text(text.into());
        let whole = |pattern| PathPattern::whole(pattern).map(|pattern| (pattern.segments, pattern.is_prefix));
        assert_eq!(whole("/"), Ok((vec![text("")], false)));
        assert_eq!(whole("/a/{id}/b"), Ok((vec![text("a"), Segment::Parameter, text("b")], false)));
        assert_eq!(whole("/a/{*rest}"), Ok((vec![text("a")], true)));
        assert_eq!(whole("/{*rest}"), Ok((vec![], true)));
        assert_eq!(whole("/caf\u{e9}/%7Euser"), Ok((vec![text("caf%C3%A9"), text("~user")], false)));
        assert_eq!(whole("/a\tb c"), Ok((vec![text("a%09b c")], false)));
        for prefix in ["/a", "/a/"] {
            assert_eq!(PathPattern::prefix(prefix).map(|pattern| pattern.segments), Ok(vec![text("a")]));
        }
        assert_eq!(PathPattern::prefix("/"), Ok(PathPattern::any()));
    }

    #[test]
    fn patterns_that_match_nothing_are_refused() {
        for pattern in
            ["", "a", "*", "/a?b", "/a#b", "/{}", "/a{id}", "/{id}.json", "/{*rest}/a", "/{{id}}", "/a%00", "/a\0"]
        {
            assert!(PathPattern::whole(pattern).is_err(), "{pattern}");
        }
    }
}
