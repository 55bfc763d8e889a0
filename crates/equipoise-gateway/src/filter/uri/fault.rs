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
