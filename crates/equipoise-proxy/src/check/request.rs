use http::{
    HeaderMap, HeaderValue, Method, Request, Version,
    header::{CONTENT_LENGTH, EXPECT, HOST, MAX_FORWARDS, TE, TRANSFER_ENCODING},
};

use super::{
    authority::{HostAndPort, host_and_port},
    refusal::Refusal,
    target,
};
use crate::{headers::has_http1_only, seen::Seen};

/// What happens to request fields with unusual names: those with a character other than a letter, a digit or `-`, such
/// as `X_Real_IP` and `X.Real.IP`. In trailers, such fields are removed unless they are forwarded.
///
/// CGI, WSGI and PHP turn names into variables: `X-Real-IP` and `X_Real_IP` both become `HTTP_X_REAL_IP`. Some servers
/// do the same with `X.Real.IP`. A client could therefore set fields that only the proxy should set.
///
/// The metadata of gRPC may have names with `_` and `.`. Such metadata reaches endpoints only with
/// [`Forward`](Self::Forward).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusualNames {
    /// The fields are removed. This is the default, and what nginx does (`ignore_invalid_headers`).
    #[default]
    Remove,
    /// The request is refused with status 400.
    Refuse,
    /// The fields are forwarded, as in HAProxy without `http-restrict-req-hdr-names`. Choose this only if no endpoint
    /// turns names into variables.
    Forward,
}

/// Decides which requests are refused before they are forwarded. The [module](crate::check) explains why.
///
/// ```
/// use equipoise_proxy::check::{Refusal, RequestChecks};
/// use http::Request;
///
/// let checks = RequestChecks::new().max_uri_bytes(1024);
/// let request = Request::get("/").header("host", "app.test").header("host", "evil.test").body(())?;
/// assert_eq!(checks.check(&request), Err(Refusal::HostRepeated));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestChecks {
    max_uri_bytes: usize,
    max_fields: usize,
    max_head_bytes: usize,
    trace: bool,
    unusual_names: UnusualNames,
}

impl RequestChecks {
    /// Creates the checks with the defaults that each setting names.
    #[must_use]
    pub fn new() -> Self {
        Self {
            max_uri_bytes: 8 * 1024,
            max_fields: 100,
            max_head_bytes: 32 * 1024,
            trace: false,
            unusual_names: UnusualNames::Remove,
        }
    }

    /// Sets the maximum length of path and query together, in bytes. A longer target gets status 414. Default: 8 KiB,
    /// as in nginx. hyper's parser itself refuses targets above 64 KiB.
    #[must_use]
    pub fn max_uri_bytes(mut self, bytes: usize) -> Self {
        self.max_uri_bytes = bytes;
        self
    }

    /// Sets the maximum number of header fields. More fields get status 431. Default: 100, as in hyper's parser. To
    /// allow more, the server's parser must allow them too. The `Cookie` fields of an HTTP/2 request count as one,
    /// because they are joined before the request is forwarded.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.max_fields = fields;
        self
    }

    /// Sets the maximum length of all header fields together, in bytes. Each field counts with its name, its value and
    /// 4 bytes. More bytes get status 431. Default: 32 KiB, as in nginx.
    #[must_use]
    pub fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// Sets whether the method `TRACE` is forwarded. Default: false, so it gets status 405, as in nginx.
    #[must_use]
    pub fn allow_trace(mut self, allow: bool) -> Self {
        self.trace = allow;
        self
    }

    /// Sets what happens to fields whose names contain a character other than a letter, a digit or `-`. Default:
    /// [`UnusualNames::Remove`].
    #[must_use]
    pub fn unusual_names(mut self, names: UnusualNames) -> Self {
        self.unusual_names = names;
        self
    }

    /// Returns whether fields with unusual names are removed from requests.
    pub(crate) fn removes_unusual_names(&self) -> bool {
        self.unusual_names != UnusualNames::Forward
    }

    /// Checks the head of a request, as the server received it. It does not check the length of the body.
    ///
    /// # Errors
    ///
    /// The first reason for which the request must not be forwarded.
    pub fn check<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        self.inspect(request).map(drop)
    }

    /// Checks the head of a request. Returns which fields it has. An unusual name counts only if its field must be
    /// removed.
    pub(crate) fn inspect<B>(&self, request: &Request<B>) -> Result<Seen, Refusal> {
        let (method, headers, version) = (request.method(), request.headers(), request.version());
        match *method {
            Method::CONNECT if !is_extended_connect(request) => return Err(Refusal::Connect),
            Method::TRACE if !self.trace => return Err(Refusal::Trace),
            _ => target::method(method)?,
        }
        target::target(method, request.uri(), self.max_uri_bytes)?;
        let seen = self.fields(headers, version)?;
        host(request)?;
        if seen.content_length || seen.transfer_encoding {
            framing(headers, version)?;
        }
        if seen.expect {
            expectation(headers, version)?;
        }
        if *method == Method::OPTIONS || *method == Method::TRACE {
            max_forwards(headers)?;
        }
        Ok(seen)
    }

    /// Checks the head of a `CONNECT` request, whose target is a host with a port. It has no body (RFC 9110, section
    /// 9.3.6): what follows are the bytes of the tunnel.
    #[cfg(feature = "forward")]
    pub(crate) fn inspect_connect<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let (uri, headers) = (request.uri(), request.headers());
        if uri.scheme().is_some() || uri.path_and_query().is_some() || uri.authority().is_none() {
            return Err(Refusal::Target);
        }
        let seen = self.fields(headers, request.version())?;
        let has_length = seen.content_length && headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0");
        if seen.transfer_encoding || has_length {
            return Err(Refusal::BodyLength);
        }
        let mut lines = headers.get_all(HOST).iter();
        match (lines.next(), lines.next()) {
            (None, _) if request.version() == Version::HTTP_11 => Err(Refusal::HostMissing),
            (Some(_), Some(_)) => Err(Refusal::HostRepeated),
            _ => Ok(()),
        }
    }

    /// Checks number, size and syntax of the fields.
    fn fields(&self, headers: &HeaderMap, version: Version) -> Result<Seen, Refusal> {
        let mut seen = Seen::of(headers);
        let is_http2 = version >= Version::HTTP_2;
        // HTTP/2 clients split a cookie field into one field for each cookie, and the proxy joins them again.
        let joined = if is_http2 { seen.cookies.saturating_sub(1) } else { 0 };
        if headers.len() - joined > self.max_fields {
            return Err(Refusal::TooManyFields);
        }
        if seen.bytes > self.max_head_bytes {
            return Err(Refusal::FieldsTooLarge);
        }
        if is_http2 {
            if seen.hop_by_hop && has_connection_field(headers) {
                return Err(Refusal::ConnectionField);
            }
            if headers.values().any(|value| value.as_bytes().trim_ascii().len() != value.len()) {
                return Err(Refusal::FieldValue);
            }
        }
        match self.unusual_names {
            UnusualNames::Refuse if seen.unusual_name => return Err(Refusal::FieldName),
            UnusualNames::Remove => {}
            UnusualNames::Refuse | UnusualNames::Forward => seen.unusual_name = false,
        }
        Ok(seen)
    }
}

impl Default for RequestChecks {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns whether an HTTP/2 request has a field that is allowed in HTTP/1.1 only.
fn has_connection_field(headers: &HeaderMap) -> bool {
    has_http1_only(headers) || headers.get_all(TE).iter().any(|te| te != "trailers")
}

/// Checks the host: there is exactly one, or two equal ones in the target and in `Host`.
fn host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut lines = request.headers().get_all(HOST).iter();
    let line = lines.next();
    if lines.next().is_some() {
        return Err(Refusal::HostRepeated);
    }
    let parsed = |text| host_and_port(text).ok_or(Refusal::HostInvalid);
    let authority = request.uri().authority().map(|authority| parsed(authority.as_str().as_bytes())).transpose()?;
    let field = line.map(|line| parsed(line.as_bytes())).transpose()?;
    match (authority, field) {
        (Some(authority), Some(field)) if !is_same(request, authority, field) => Err(Refusal::HostConflict),
        // HTTP/1.1 needs the field even beside an authority (RFC 9112, section 3.2).
        (_, None) if request.version() == Version::HTTP_11 => Err(Refusal::HostMissing),
        (None, None) if request.version() > Version::HTTP_11 => Err(Refusal::HostMissing),
        _ => Ok(()),
    }
}

fn is_same<B>(request: &Request<B>, authority: HostAndPort<'_>, field: HostAndPort<'_>) -> bool {
    let default_port = if request.uri().scheme_str() == Some("https") { 443 } else { 80 };
    authority.is_same(&field, default_port)
}

/// Checks that the length of the body is stated once.
fn framing(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() || length.is_some_and(|length| content_length(length.as_bytes()).is_none()) {
        return Err(Refusal::ContentLength);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if codings.next().is_some() || version != Version::HTTP_11 {
        return Err(Refusal::TransferEncoding);
    }
    if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Refusal::TransferCoding);
    }
    if length.is_some() { Err(Refusal::TwoLengths) } else { Ok(()) }
}

/// Parses a `Content-Length`: decimal digits only, with a value below 2^63, which every server can represent.
pub(crate) fn content_length(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse::<i64>().ok()?.try_into().ok()
}

/// Checks the expectation. HTTP/1.0 has none, so servers ignore the field (RFC 9110, section 10.1.1).
fn expectation(headers: &HeaderMap, version: Version) -> Result<(), Refusal> {
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if version >= Version::HTTP_11 && !headers.get_all(EXPECT).iter().all(is_known) {
        return Err(Refusal::Expectation);
    }
    Ok(())
}

/// Checks `Max-Forwards`, which has a meaning only for `OPTIONS` and `TRACE` (RFC 9110, section 7.6.2).
fn max_forwards(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lines = headers.get_all(MAX_FORWARDS).iter();
    match (lines.next().map(|line| content_length(line.as_bytes())), lines.next()) {
        (None | Some(Some(_)), None) => Ok(()),
        _ => Err(Refusal::MaxForwards),
    }
}

/// Returns whether the request opens a WebSocket on an HTTP/2 stream (RFC 8441).
pub(crate) fn is_extended_connect<B>(request: &Request<B>) -> bool {
    #[cfg(feature = "http2")]
    return request.version() == Version::HTTP_2
        && request.extensions().get::<hyper::ext::Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket");
    #[cfg(not(feature = "http2"))]
    {
        let _ = request;
        false
    }
}
