use std::borrow::Cow;

use equipoise_proxy::__private::resolved_segments;
use percent_encoding::percent_decode_str;

use super::fault::{PathAction, PathFault};

/// Decides which paths are refused or rewritten, so that rules, caches, authentication and the endpoint all see the
/// same path.
///
/// Each fault has an action:
///
/// | fault | default | rewritten as |
/// | --- | --- | --- |
/// | `%00` | refuse, always | |
/// | `%` without two digits | refuse | `%25` |
/// | control characters | refuse | refused too |
/// | bytes that are not UTF-8 | refuse | refused too |
/// | an encoding after decoding (`%252F`) | allow | refused too |
/// | `%2F` | refuse | `/` |
/// | `\`, `%5C` | refuse | `/` |
/// | `;`, `%3B` | refuse | the segment without what follows |
/// | `.`, `..`, `%2e` | refuse | resolved; slashes in the same path are merged |
/// | `//` | refuse | `/` |
///
/// In paths that are not refused, percent-encodings of letters, digits, `-`, `.`, `_` and `~` are decoded, others get
/// digits in upper case, and characters outside ASCII are encoded (RFC 3986, sections 6.2.2.1 and 6.2.2.2). Both forms
/// mean the same; [`keep_encodings`](Self::keep_encodings) forwards the one of the client.
///
/// The query is never changed. The target `*` is not a path.
///
/// ```
/// use equipoise_gateway::filter::{PathFault, UriPolicy};
///
/// let strict = UriPolicy::new();
/// assert_eq!(strict.apply("/%7euser/a%2ahtml").as_deref(), Ok("/~user/a%2Ahtml"));
/// assert_eq!(strict.apply("/static/..%2fadmin"), Err(PathFault::EncodedSlash));
/// assert_eq!(UriPolicy::normalizing().apply("/static//../admin").as_deref(), Ok("/admin"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriPolicy {
    invalid_encoding: PathAction,
    control: PathAction,
    not_utf8: PathAction,
    double_encoding: PathAction,
    encoded_slash: PathAction,
    backslash: PathAction,
    parameters: PathAction,
    dot_segments: PathAction,
    empty_segments: PathAction,
    keep_encodings: bool,
}

impl UriPolicy {
    /// Creates the default policy: every ambiguous path is refused, except those with an encoding after decoding
    /// (`%252F`), which are ambiguous only for endpoints that decode twice. If paths are exempt from a protection, refuse
    /// them too: [`on`](Self::on) with [`PathFault::DoubleEncoding`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            invalid_encoding: PathAction::Refuse,
            control: PathAction::Refuse,
            not_utf8: PathAction::Refuse,
            double_encoding: PathAction::Allow,
            encoded_slash: PathAction::Refuse,
            backslash: PathAction::Refuse,
            parameters: PathAction::Refuse,
            dot_segments: PathAction::Refuse,
            empty_segments: PathAction::Refuse,
            keep_encodings: false,
        }
    }

    /// Creates a policy that resolves `.` and `..` and merges slashes, and refuses all that [`new`](Self::new) refuses
    /// otherwise. This is what nginx does with `merge_slashes on`.
    #[must_use]
    pub const fn normalizing() -> Self {
        Self { dot_segments: PathAction::Normalize, empty_segments: PathAction::Normalize, ..Self::new() }
    }

    /// Sets what happens to paths with a fault. The default of each fault is in the table above.
    /// [`PathFault::Nul`] is always refused. [`PathAction::Normalize`] refuses paths that cannot be rewritten.
    #[must_use]
    pub const fn on(mut self, fault: PathFault, action: PathAction) -> Self {
        match fault {
            PathFault::Nul => {}
            PathFault::InvalidEncoding => self.invalid_encoding = action,
            PathFault::Control => self.control = action,
            PathFault::NotUtf8 => self.not_utf8 = action,
            PathFault::DoubleEncoding => self.double_encoding = action,
            PathFault::EncodedSlash => self.encoded_slash = action,
            PathFault::Backslash => self.backslash = action,
            PathFault::Parameters => self.parameters = action,
            PathFault::DotSegments => self.dot_segments = action,
            PathFault::EmptySegments => self.empty_segments = action,
        }
        self
    }

    /// Sets whether percent-encodings are forwarded as the client wrote them, for example because a signature covers
    /// the path. Default: false.
    #[must_use]
    pub const fn keep_encodings(mut self, keep: bool) -> Self {
        self.keep_encodings = keep;
        self
    }

    /// Returns what happens to paths with a fault.
    #[must_use]
    pub const fn action(&self, fault: PathFault) -> PathAction {
        match fault {
            PathFault::Nul => PathAction::Refuse,
            PathFault::InvalidEncoding => self.invalid_encoding,
            PathFault::Control => self.control,
            PathFault::NotUtf8 => self.not_utf8,
            PathFault::DoubleEncoding => self.double_encoding,
            PathFault::EncodedSlash => self.encoded_slash,
            PathFault::Backslash => self.backslash,
            PathFault::Parameters => self.parameters,
            PathFault::DotSegments => self.dot_segments,
            PathFault::EmptySegments => self.empty_segments,
        }
    }

    /// Returns the path that is forwarded. `path` begins with a slash and has no query. It is returned as it is if
    /// nothing must be changed. O(length), and paths of plain ASCII without faults cost one pass without memory.
    ///
    /// # Errors
    ///
    /// The first fault for which the path is refused.
    pub fn apply<'p>(&self, path: &'p str) -> Result<Cow<'p, str>, PathFault> {
        if is_plain(path) {
            return Ok(Cow::Borrowed(path));
        }
        let decoded: Vec<u8> = percent_decode_str(path).collect();
        let seen = Seen::of(path, &decoded);
        let refuses = |is_there: bool, fault: PathFault, can_rewrite: bool| match self.action(fault) {
            PathAction::Allow => Ok(()),
            PathAction::Normalize if can_rewrite => Ok(()),
            _ if is_there => Err(fault),
            _ => Ok(()),
        };
        refuses(seen.nul, PathFault::Nul, false)?;
        refuses(seen.invalid_encoding, PathFault::InvalidEncoding, true)?;
        refuses(seen.control, PathFault::Control, false)?;
        refuses(std::str::from_utf8(&decoded).is_err(), PathFault::NotUtf8, false)?;
        refuses(seen.double_encoding, PathFault::DoubleEncoding, false)?;
        refuses(seen.encoded_slash, PathFault::EncodedSlash, true)?;
        refuses(seen.backslash, PathFault::Backslash, true)?;
        refuses(seen.parameters, PathFault::Parameters, true)?;
        let mut text = self.rewritten(path);
        // Segments are looked at last, because an encoded slash or a backslash may have become a slash.
        refuses(has_dot_segments(&text), PathFault::DotSegments, true)?;
        refuses(text.contains("//"), PathFault::EmptySegments, true)?;
        let resolves = self.action(PathFault::DotSegments) == PathAction::Normalize && has_dot_segments(&text);
        let merges = self.action(PathFault::EmptySegments) == PathAction::Normalize && text.contains("//");
        if resolves || (merges && !has_dot_segments(&text)) {
            text = format!("/{}", resolved_segments(&text).join("/"));
        } else if merges {
            text = merged(&text);
        }
        Ok(if text == path { Cow::Borrowed(path) } else { Cow::Owned(text) })
    }

    /// Rewrites characters, not segments.
    fn rewritten(&self, path: &str) -> String {
        let normalizes = |fault| self.action(fault) == PathAction::Normalize;
        let mut text = String::with_capacity(path.len());
        let mut skips_parameters = false;
        // The number of bytes after a `%` that begins no encoding and stays. With digits that are decoded, it would
        // begin one.
        let mut after_bare: Option<u8> = None;
        let mut rest = path;
        while let Some(character) = rest.chars().next() {
            let (unit, byte) = match character {
                '%' => match encoding(rest) {
                    Some((unit, byte)) => (unit, Some(byte)),
                    None => ("%", None),
                },
                _ => (rest.get(..character.len_utf8()).unwrap_or_default(), u8::try_from(character).ok()),
            };
            rest = rest.get(unit.len()..).unwrap_or_default();
            let is_encoded = unit.len() == 3 && unit.starts_with('%');
            let byte = byte.filter(|_| is_encoded || character.is_ascii());
            let completes = after_bare.take().filter(|_| byte.is_some_and(|byte| byte.is_ascii_hexdigit()));
            match byte {
                Some(b'/') if !is_encoded || normalizes(PathFault::EncodedSlash) => {
                    skips_parameters = false;
                    text.push('/');
                }
                Some(b'\\') if normalizes(PathFault::Backslash) => {
                    skips_parameters = false;
                    text.push('/');
                }
                _ if skips_parameters => {}
                Some(b';') if normalizes(PathFault::Parameters) => skips_parameters = true,
                Some(byte) if is_encoded && !self.keep_encodings && is_unreserved(byte) && completes.is_none() => {
                    text.push(char::from(byte));
                }
                Some(_) if is_encoded && !self.keep_encodings => text.push_str(&unit.to_ascii_uppercase()),
                None if unit == "%" && normalizes(PathFault::InvalidEncoding) => text.push_str("%25"),
                None if unit == "%" => {
                    after_bare = Some(0);
                    text.push('%');
                }
                None if !self.keep_encodings => {
                    for byte in unit.bytes() {
                        text.push_str(&format!("%{byte:02X}"));
                    }
                }
                Some(_) if !is_encoded => {
                    after_bare = completes.filter(|after| *after == 0).map(|_| 1);
                    text.push_str(unit);
                }
                _ => text.push_str(unit),
            }
        }
        text
    }
}

impl Default for UriPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// What a path contains.
#[derive(Default)]
struct Seen {
    nul: bool,
    invalid_encoding: bool,
    control: bool,
    double_encoding: bool,
    encoded_slash: bool,
    backslash: bool,
    parameters: bool,
}

impl Seen {
    fn of(path: &str, decoded: &[u8]) -> Self {
        let mut seen = Self {
            nul: decoded.contains(&0),
            control: decoded.iter().any(u8::is_ascii_control),
            backslash: decoded.contains(&b'\\'),
            parameters: decoded.contains(&b';'),
            double_encoding: decoded
                .windows(3)
                .any(|unit| unit.starts_with(b"%") && unit.iter().skip(1).all(u8::is_ascii_hexdigit)),
            ..Self::default()
        };
        let mut rest = path;
        while let Some((_, after)) = rest.split_once('%') {
            rest = after;
            let digits = after.as_bytes().first_chunk::<2>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            match digits {
                Some(b"2f" | b"2F") => seen.encoded_slash = true,
                Some(_) => {}
                None => seen.invalid_encoding = true,
            }
        }
        seen
    }
}

/// Returns the encoding with which a text begins, and the byte that it stands for.
fn encoding(text: &str) -> Option<(&str, u8)> {
    let unit = text.get(..3)?;
    let digits = unit.strip_prefix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some((unit, u8::from_str_radix(digits, 16).ok()?))
}

/// Returns whether no rule can have anything to say about a path.
fn is_plain(path: &str) -> bool {
    let mut before = b'x';
    for byte in path.bytes() {
        match byte {
            b'%' | b'\\' | b';' | 0..=0x20 | 0x7f.. => return false,
            b'/' | b'.' if before == b'/' => return false,
            _ => before = byte,
        }
    }
    true
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn has_dot_segments(path: &str) -> bool {
    path.contains(['.', '%'])
        && path.split('/').any(|segment| {
            segment.len() <= 6 && matches!(&*percent_decode_str(segment).collect::<Vec<u8>>(), b"." | b"..")
        })
}

/// Merges slashes, and keeps `.` and `..`.
fn merged(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !text.ends_with('/') {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests;
