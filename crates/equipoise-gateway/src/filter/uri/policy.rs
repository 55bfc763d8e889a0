use std::borrow::Cow;

use equipoise_proxy::__private::resolved_segments;
use percent_encoding::percent_decode_str;

/// What happens to a path with a certain fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathAction {
    /// The request is refused with status 400.
    Refuse,
    /// The path is rewritten, so that all servers read it in the same way.
    Normalize,
    /// The path is forwarded as it is.
    Allow,
}

/// Why servers could read a path differently. The variants are in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathFault {
    /// An encoded NUL (`%00`). C programs end the path there. It is always refused.
    Nul,
    /// A `%` that begins no encoding.
    InvalidEncoding,
    /// A control character, encoded or not: below `%20`, or `%7F`.
    Control,
    /// Bytes that are not UTF-8, such as the overlong encoding `%C0%AF` of a slash.
    NotUtf8,
    /// A path that has an encoding after it was decoded, such as `%252F`. Servers that decode twice read it as another
    /// character.
    DoubleEncoding,
    /// An encoded slash (`%2F`).
    EncodedSlash,
    /// A backslash, encoded (`%5C`) or not.
    Backslash,
    /// A `;` in a segment, encoded or not. Servlet containers cut off what follows it.
    Parameters,
    /// A segment `.` or `..`, encoded or not.
    DotSegments,
    /// Several slashes in a row.
    EmptySegments,
}

impl PathFault {
    /// All faults, in the order in which they are looked for.
    pub const ALL: [Self; 10] = [
        Self::Nul,
        Self::InvalidEncoding,
        Self::Control,
        Self::NotUtf8,
        Self::DoubleEncoding,
        Self::EncodedSlash,
        Self::Backslash,
        Self::Parameters,
        Self::DotSegments,
        Self::EmptySegments,
    ];

    /// Returns the stable label of the fault for metrics and logs, such as `encoded_slash`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nul => "nul",
            Self::InvalidEncoding => "invalid_encoding",
            Self::Control => "control",
            Self::NotUtf8 => "not_utf8",
            Self::DoubleEncoding => "double_encoding",
            Self::EncodedSlash => "encoded_slash",
            Self::Backslash => "backslash",
            Self::Parameters => "parameters",
            Self::DotSegments => "dot_segments",
            Self::EmptySegments => "empty_segments",
        }
    }
}

/// Decides which paths are refused or rewritten, so that rules, caches, authentication and the endpoint all see the same
/// path.
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
/// digits in upper case, and characters outside ASCII are encoded (RFC 3986, sections 6.2.2.1 and 6.2.2.2). Both forms mean
/// the same; [`keep_encodings`](Self::keep_encodings) forwards the one of the client.
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
    /// Creates the default policy: every ambiguous path is refused.
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

    /// Sets whether percent-encodings are forwarded as the client wrote them, for example because a signature covers the
    /// path. Default: false.
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

    /// Returns the path that is forwarded. `path` begins with a slash and has no query. It is returned as it is if nothing
    /// must be changed. O(length), and paths of plain ASCII without faults cost one pass without memory.
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
        // The number of bytes after a `%` that begins no encoding and stays. With digits that are decoded, it would begin one.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_ambiguous_path_is_refused_with_its_reason() {
        for (path, fault) in [
            ("/a%00b", PathFault::Nul),
            ("/a%", PathFault::InvalidEncoding),
            ("/a%2", PathFault::InvalidEncoding),
            ("/a%zz", PathFault::InvalidEncoding),
            ("/a%0d%0ab", PathFault::Control),
            ("/a%7f", PathFault::Control),
            ("/..%c0%af..", PathFault::NotUtf8),
            ("/%e0%80%af", PathFault::NotUtf8),
            ("/%ff", PathFault::NotUtf8),
            ("/admin%2f..", PathFault::EncodedSlash),
            ("/static/..%5cadmin", PathFault::Backslash),
            ("/static\\..\\admin", PathFault::Backslash),
            ("/;/admin", PathFault::Parameters),
            ("/admin;x=1", PathFault::Parameters),
            ("/admin%3bx", PathFault::Parameters),
            ("/a/../b", PathFault::DotSegments),
            ("/a/%2e%2E/b", PathFault::DotSegments),
            ("/a/.%2e", PathFault::DotSegments),
            ("/.", PathFault::DotSegments),
            ("//a", PathFault::EmptySegments),
            ("/a//", PathFault::EmptySegments),
        ] {
            assert_eq!(UriPolicy::new().apply(path), Err(fault), "{path}");
        }
    }

    #[test]
    fn equivalent_encodings_become_one() {
        for (path, forwarded) in [
            ("/", "/"),
            ("/a/.well-known/b..c/...", "/a/.well-known/b..c/..."),
            ("/%61%7E%2d", "/a~-"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/a%20b%25", "/a%20b%25"),
            ("/a%252fb", "/a%252fb"),
        ] {
            assert_eq!(UriPolicy::new().apply(path).as_deref(), Ok(forwarded), "{path}");
        }
        let keep = UriPolicy::new().keep_encodings(true);
        assert_eq!(keep.apply("/%61%2a").as_deref(), Ok("/%61%2a"));
        assert_eq!(keep.apply("/a/%2e%2e/b"), Err(PathFault::DotSegments));
    }

    #[test]
    fn faults_are_rewritten_if_asked_for() {
        let all = PathFault::ALL
            .into_iter()
            .fold(UriPolicy::new(), |policy, fault| policy.on(fault, PathAction::Normalize))
            .on(PathFault::DoubleEncoding, PathAction::Allow);
        for (path, forwarded) in [
            ("/a%2f..%2F..%2fadmin", "/admin"),
            ("/static/..%5cadmin", "/admin"),
            ("/;/admin", "/admin"),
            ("/public/..;x=1/admin;y", "/admin"),
            ("/a//b/./c/../d", "/a/b/d"),
            ("/..", "/"),
            ("/a/%2e%2e", "/"),
            ("/100%", "/100%25"),
            ("/%%32f", "/%252f"),
        ] {
            assert_eq!(all.apply(path).as_deref(), Ok(forwarded), "{path}");
        }
        for path in ["/%00", "/%0a", "/%ff"] {
            assert!(all.apply(path).is_err(), "{path}");
        }
        let double = UriPolicy::new().on(PathFault::DoubleEncoding, PathAction::Refuse);
        for path in ["/a%252fb", "/a%25%32f", "/%25%412"] {
            assert_eq!(double.apply(path), Err(PathFault::DoubleEncoding), "{path}");
        }
        assert_eq!(double.apply("/100%25").as_deref(), Ok("/100%25"));
    }

    #[test]
    fn each_fault_has_its_own_setting() {
        for (path, fault) in [
            ("/a%2Fb", PathFault::EncodedSlash),
            ("/a\\b", PathFault::Backslash),
            ("/a;b", PathFault::Parameters),
            ("/a/../b", PathFault::DotSegments),
            ("/a//b", PathFault::EmptySegments),
            ("/a%", PathFault::InvalidEncoding),
            ("/a%0A", PathFault::Control),
            ("/%FF", PathFault::NotUtf8),
        ] {
            let policy = UriPolicy::new().on(fault, PathAction::Allow);
            assert_eq!(policy.apply(path).as_deref(), Ok(path), "{path}");
        }
        let bare = UriPolicy::new().on(PathFault::InvalidEncoding, PathAction::Allow);
        assert_eq!(bare.apply("/%%41%42").as_deref(), Ok("/%%41B"), "no encoding comes into being");
        let nul = UriPolicy::new().on(PathFault::Nul, PathAction::Allow);
        assert_eq!(nul.apply("/%00"), Err(PathFault::Nul));
        let merging = UriPolicy::new()
            .on(PathFault::DotSegments, PathAction::Allow)
            .on(PathFault::EmptySegments, PathAction::Normalize);
        assert_eq!(merging.apply("/a//../b").as_deref(), Ok("/a/../b"));
    }

    proptest! {
        #[test]
        fn a_path_that_was_normalized_stays(
            path in "/(/|\\.|;|\\\\|a|\u{e9}|%2e|%2F|%5c|%3b|%41|%42|%c3%a9|%25|%|2|f){0,12}",
            actions in proptest::collection::vec(0..3_u8, 10),
            keep: bool,
        ) {
            let policy = PathFault::ALL.into_iter().zip(actions).fold(UriPolicy::new(), |policy, (fault, action)| {
                let action = match action { 0 => PathAction::Refuse, 1 => PathAction::Normalize, _ => PathAction::Allow };
                policy.on(fault, action)
            });
            let policy = policy.keep_encodings(keep);
            if let Ok(once) = policy.apply(&path) {
                prop_assert!(once.starts_with('/'));
                let again = policy.apply(&once);
                prop_assert_eq!(again.as_deref(), Ok(&*once));
            }
        }

        #[test]
        fn what_the_default_lets_through_is_not_ambiguous(path in "/(/|\\.|;|\\\\|a|%2e|%2F|%5c|%3b|%41|%00|%0a|%ff|%){0,10}") {
            if let Ok(path) = UriPolicy::new().apply(&path) {
                prop_assert!(!equipoise_proxy::__private::is_ambiguous_path(&path));
                prop_assert_eq!(&*equipoise_proxy::__private::normalized_path(&path), &*path);
            }
        }
    }
}
