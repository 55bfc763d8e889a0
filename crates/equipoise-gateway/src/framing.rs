use http::HeaderName;

/// Returns whether a field frames a message, names its target, or belongs to one connection. Such a field is never copied
/// to another message, nor changed by a setting for fields.
pub(crate) fn is_framing(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}
