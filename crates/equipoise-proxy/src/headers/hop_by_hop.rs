use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, TE, UPGRADE},
};

use super::known::{is_hop_by_hop, is_protected};

/// Removes the fields that belong to one connection from the headers of a request or a response:
///
/// - `Connection`, and the fields that it names;
/// - `Keep-Alive`, `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade` and `HTTP2-Settings`;
/// - `Proxy-Authenticate` and `Proxy-Authorization`, which are meant for this proxy;
/// - `Proxy`, which is no field of HTTP, but sets a variable in CGI programs.
///
/// A name in `Connection` is ignored if a client could use it to remove what a proxy must forward or has written:
/// `Host`, `Content-Length`, `Via`, `Max-Forwards`, `Forwarded`, `X-Real-IP`, and all names that begin with
/// `X-Forwarded-`. `Trailer` stays, because it describes the message (RFC 9110, section 6.6.2).
///
/// A field that a layer has added to the request is removed too if the client named it. To prevent this, call
/// [`remove_named_fields`] before the layer.
///
/// ```
/// use equipoise_proxy::headers::remove_hop_by_hop;
/// use http::Request;
///
/// let mut request = Request::get("/")
///     .header("connection", "close, x-hop, host")
///     .header("x-hop", "1")
///     .header("host", "app.test")
///     .body(())?;
/// remove_hop_by_hop(request.headers_mut());
/// assert_eq!(request.headers().keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["host"]);
/// # Ok::<(), http::Error>(())
/// ```
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most connections have only these two options, and neither is the name of a field.
    let is_field =
        |option: &&[u8]| !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive");
    let named = removable(options(headers).filter(is_field));
    headers.remove(CONNECTION);
    for name in named {
        headers.remove(name);
    }
    // Few messages have another of these fields. To look for each by its name would cost more than to read all names.
    while let Some(name) = headers.keys().find(|name| is_hop_by_hop(name)).cloned() {
        headers.remove(name);
    }
}

/// Removes the fields that `Connection` of a request names, and their names from `Connection`. `Connection` keeps `close`
/// and the names of fields that every proxy removes, such as `Upgrade` and `TE`. [`remove_hop_by_hop`] lists the fields
/// that a client cannot remove.
///
/// Call it when a request arrives, before any layer adds a field, such as `X-User-Id` after a login. A client that names
/// this field in `Connection` could otherwise remove it. The server of this crate (feature `server`) does this for each
/// HTTP/1 request.
///
/// ```
/// use equipoise_proxy::headers::{remove_hop_by_hop, remove_named_fields};
/// use http::{HeaderValue, Request};
///
/// let mut request = Request::get("/").header("connection", "close, x-user-id").header("x-user-id", "1").body(())?;
/// remove_named_fields(request.headers_mut());
/// assert_eq!(request.headers()["connection"], "close");
/// assert!(!request.headers().contains_key("x-user-id"));
///
/// request.headers_mut().insert("x-user-id", HeaderValue::from_static("7"));
/// remove_hop_by_hop(request.headers_mut());
/// assert_eq!(request.headers()["x-user-id"], "7");
/// # Ok::<(), http::Error>(())
/// ```
pub fn remove_named_fields(headers: &mut HeaderMap) {
    if options(headers).all(is_of_connection) {
        return;
    }
    let named = removable(options(headers).filter(|option| !is_of_connection(option)));
    let kept: Vec<&[u8]> = options(headers).filter(|option| is_of_connection(option)).collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b", "[..]));
    for name in named {
        headers.remove(name);
    }
    match kept {
        Ok(kept) if !kept.is_empty() => drop(headers.insert(CONNECTION, kept)),
        _ => drop(headers.remove(CONNECTION)),
    }
}

/// Returns the options of `Connection`.
fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers.get_all(CONNECTION).iter().flat_map(elements)
}

/// Returns the fields with these names that a client can remove.
fn removable<'h>(options: impl Iterator<Item = &'h [u8]>) -> Vec<HeaderName> {
    options.filter_map(|option| HeaderName::from_bytes(option).ok()).filter(|name| !is_protected(name)).collect()
}

/// Returns whether an option of `Connection` is about the connection itself, or names a field that is always removed.
fn is_of_connection(option: &[u8]) -> bool {
    option.eq_ignore_ascii_case(b"close") || HeaderName::from_bytes(option).is_ok_and(|name| is_hop_by_hop(&name))
}

/// Returns the elements of a comma-separated list without quoted strings.
fn elements(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// Returns the protocols to which a message switches or asks to switch: the value of `Upgrade`, if `Connection` names
/// this field. Returns `None` for protocols that would change how the connection to the endpoint is read: `h2c`, other
/// versions of HTTP, and `TLS`.
pub(crate) fn requested_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lines = headers.get_all(UPGRADE).iter();
    let (Some(protocols), None) = (lines.next(), lines.next()) else { return None };
    let named = options(headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    let is_refused = |protocol: &[u8]| {
        let name = protocol.split(|byte| *byte == b'/').next().unwrap_or(protocol).trim_ascii();
        [&b"h2c"[..], b"h2", b"http", b"tls"].iter().any(|refused| name.eq_ignore_ascii_case(refused))
    };
    (named && !protocols.is_empty() && !elements(protocols).any(is_refused)).then(|| protocols.clone())
}

/// Returns whether the client accepts trailers.
pub(crate) fn te_trailers(headers: &HeaderMap) -> bool {
    headers.get_all(TE).iter().flat_map(elements).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn left(lines: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = headers(lines);
        remove_hop_by_hop(&mut headers);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn fields_of_one_connection_are_removed() {
        for name in ["connection", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy"] {
            assert!(left(&[(name, "x")]).is_empty(), "{name}");
        }
        assert_eq!(left(&[("trailer", "x-t"), ("x-end", "1")]), ["trailer", "x-end"]);
    }

    #[test]
    fn fields_that_connection_names_are_removed() {
        assert!(left(&[("connection", "close, X-A,\t x-b ,,"), ("x-a", "1"), ("x-b", "1")]).is_empty());
        assert!(left(&[("connection", "x-a"), ("connection", "x-b"), ("x-a", "1"), ("x-b", "1")]).is_empty());
    }

    #[test]
    fn fields_are_removed_before_layers_add_others() {
        let removed = |lines: &[(&'static str, &'static str)]| {
            let mut headers = headers(lines);
            remove_named_fields(&mut headers);
            let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
            headers.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect::<Vec<_>>()
        };
        assert_eq!(removed(&[("x-a", "1")]), ["x-a: 1"]);
        assert_eq!(removed(&[("connection", "Keep-Alive"), ("x-a", "1")]), ["connection: Keep-Alive", "x-a: 1"]);
        assert!(removed(&[("connection", "X-A, (, cookie"), ("x-a", "1"), ("cookie", "a=b")]).is_empty());
        assert_eq!(
            removed(&[("connection", "x-a, Upgrade"), ("connection", "host,TE"), ("host", "a"), ("te", "trailers")]),
            ["connection: Upgrade, TE", "host: a", "te: trailers"]
        );
    }

    #[test]
    fn connection_cannot_remove_what_proxies_rely_on() {
        for name in ["host", "content-length", "via", "max-forwards", "forwarded", "x-real-ip", "x-forwarded-for"] {
            assert_eq!(left(&[("connection", name), (name, "1")]), [name]);
        }
    }

    #[test]
    fn upgrades_need_both_fields_and_another_protocol_than_http() {
        let upgrade = |connection: &'static str, protocol: &'static str| {
            requested_upgrade(&headers(&[("connection", connection), ("upgrade", protocol)]))
        };
        assert_eq!(upgrade("keep-alive, Upgrade", "websocket"), Some(HeaderValue::from_static("websocket")));
        for (connection, protocol) in [
            ("close", "websocket"),
            ("upgrade", ""),
            ("upgrade", "h2c"),
            ("upgrade", "H2C"),
            ("upgrade", "websocket, h2c"),
            ("upgrade", "HTTP/2.0"),
            ("upgrade", "TLS/1.0"),
        ] {
            assert_eq!(upgrade(connection, protocol), None, "{connection} {protocol}");
        }
        assert_eq!(requested_upgrade(&headers(&[("upgrade", "websocket")])), None);
    }
}
