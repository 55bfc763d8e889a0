//! The HTTP probe and its settings. `exchange.rs` sends the request and evaluates the response.

mod exchange;

use std::ops::RangeInclusive;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT},
    uri::{Authority, PathAndQuery},
};

#[cfg(feature = "tls")]
use super::TlsProbe;
use super::{
    InvalidProbe,
    open::{Security, authority},
    pattern::{Pattern, byte_limit},
};

/// A probe that sends an HTTP request. Each probe opens a new connection.
///
/// ```
/// use equipoise_health::probe::HttpProbe;
///
/// let plain = HttpProbe::new("/healthz")?;
/// let detailed = HttpProbe::new("/status?full=1")?
///     .host("shop.example.com")?
///     .header("authorization", "Bearer secret")?
///     .statuses([200..=204])?
///     .body_contains("\"ready\":true")?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// The probe passes if the status of the response is expected. By default, all statuses from 200 to 399 are expected.
/// Redirects are not followed.
///
/// If a pattern is set with [`body_contains`](Self::body_contains) or `body_matches`, the body must also match the
/// pattern. The body is read until the pattern is found or [`max_body_bytes`](Self::max_body_bytes) bytes have been
/// read. Without a pattern, the body is not read.
///
/// TLS is used if the endpoint's address is an `https` URL or if `tls` was called.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    method: Method,
    path: PathAndQuery,
    host: Option<Authority>,
    headers: HeaderMap,
    statuses: Vec<RangeInclusive<u16>>,
    body: Option<Pattern>,
    max_body_bytes: usize,
    version: HttpVersion,
    security: Security,
}

/// The HTTP version that an [`HttpProbe`] uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// The probe uses HTTP/1.1 without TLS. With TLS, the probe offers HTTP/2 and HTTP/1.1 by ALPN and uses the version
    /// that the server chooses.
    #[default]
    Negotiated,
    /// The probe uses HTTP/1.1, with and without TLS.
    Http1,
    /// The probe uses HTTP/2, with and without TLS. Without TLS, there is no upgrade from HTTP/1.1 (prior knowledge).
    Http2,
}

impl HttpVersion {
    /// Returns the name of this value in snake case: `negotiated`, `http1` or `http2`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Negotiated => "negotiated",
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }
}

impl HttpProbe {
    /// Creates a probe that sends a `GET` request for this path. The path may have a query.
    ///
    /// # Errors
    ///
    /// Returns an error if `path` does not begin with `/`, has a fragment (`#`), or has characters that must be
    /// percent-encoded.
    pub fn new(path: &str) -> Result<Self, InvalidProbe> {
        let parsed = PathAndQuery::try_from(path).ok().filter(|_| path.starts_with('/') && !path.contains('#'));
        let path = parsed.ok_or_else(|| {
            refuse(
                "path",
                path,
                "use a path that begins with '/', like \"/healthz?full=1\", with blanks and others %-encoded",
            )
        })?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("equipoise-health/", env!("CARGO_PKG_VERSION"))));
        Ok(Self {
            method: Method::GET,
            path,
            host: None,
            headers,
            statuses: vec![200..=399],
            body: None,
            max_body_bytes: 64 * 1024,
            version: HttpVersion::default(),
            security: Security::default(),
        })
    }

    /// Sets the method of the request. The request has no body, whatever the method is. Default: `GET`.
    ///
    /// # Errors
    ///
    /// Returns an error if `method` is not a valid HTTP method, or if it is `CONNECT`.
    pub fn method(mut self, method: &str) -> Result<Self, InvalidProbe> {
        let parsed = Method::from_bytes(method.as_bytes()).ok().filter(|method| method != Method::CONNECT);
        self.method =
            parsed.ok_or_else(|| refuse("method", method, "use a method like GET, HEAD or OPTIONS, not CONNECT"))?;
        Ok(self)
    }

    /// Sets the value of the `Host` header (in HTTP/2, of `:authority`): a host with or without a port. Default: the
    /// host and port that the probe connects to.
    ///
    /// # Errors
    ///
    /// Returns an error if `host` is not a host with or without a port.
    pub fn host(mut self, host: &str) -> Result<Self, InvalidProbe> {
        self.host = Some(authority("host", host)?);
        Ok(self)
    }

    /// Adds a header to the request. By default, the request has the headers `Accept: */*` and `User-Agent`. A header
    /// with one of these two names replaces the default. A header with another name is added, even if the request
    /// already has a header with this name.
    ///
    /// # Errors
    ///
    /// Returns an error if the name or the value is invalid. Returns an error if the name is `Host` (use
    /// [`host`](Self::host)), `Content-Length` or `Transfer-Encoding`.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidProbe> {
        let key =
            HeaderName::try_from(name).map_err(|_| refuse("header", name, "use a name of letters, digits and '-'"))?;
        let header = HeaderValue::try_from(value)
            .map_err(|_| refuse("header", value, "use a value of visible ASCII and blanks, without line ends"))?;
        match key {
            HOST => return Err(refuse("header", name, "use the setting `host` for this header")),
            CONTENT_LENGTH | TRANSFER_ENCODING => return Err(refuse("header", name, "a probe sends no body")),
            ACCEPT | USER_AGENT => drop(self.headers.insert(key, header)),
            _ => drop(self.headers.append(key, header)),
        }
        Ok(self)
    }

    /// Sets the ranges of statuses for which the probe passes. A later call replaces the ranges of an earlier call.
    /// Default: 200 to 399.
    ///
    /// # Errors
    ///
    /// Returns an error if there are no ranges, or if a range is empty or not within 100 to 999.
    pub fn statuses(mut self, expected: impl IntoIterator<Item = RangeInclusive<u16>>) -> Result<Self, InvalidProbe> {
        self.statuses = expected.into_iter().collect();
        let right = |range: &RangeInclusive<u16>| !range.is_empty() && *range.start() >= 100 && *range.end() <= 999;
        if self.statuses.is_empty() || !self.statuses.iter().all(right) {
            let value = format!("{:?}", self.statuses);
            return Err(refuse(
                "statuses",
                &value,
                "use one or more ranges within 100..=999, like [200..=299, 404..=404]",
            ));
        }
        Ok(self)
    }

    /// Sets a text that the body of the response must contain for the probe to pass. The text must occur within the
    /// first [`max_body_bytes`](Self::max_body_bytes) bytes. This call replaces a text or regular expression from an
    /// earlier call. Default: the body is not read.
    ///
    /// # Errors
    ///
    /// Returns an error if `text` is empty.
    pub fn body_contains(mut self, text: impl Into<Vec<u8>>) -> Result<Self, InvalidProbe> {
        self.body = Some(Pattern::contains("body_contains", text.into())?);
        Ok(self)
    }

    /// Sets a regular expression that must match somewhere in the body of the response for the probe to pass. The
    /// expression is applied only to the first [`max_body_bytes`](Self::max_body_bytes) bytes. This call replaces a
    /// text or regular expression from an earlier call. Default: the body is not read.
    ///
    /// # Errors
    ///
    /// Returns an error if `expression` is not valid for the crate `regex`.
    #[cfg(feature = "regex")]
    pub fn body_matches(mut self, expression: &str) -> Result<Self, InvalidProbe> {
        self.body = Some(Pattern::regex("body_matches", expression)?);
        Ok(self)
    }

    /// Sets the maximum number of bytes of the response's body that the probe reads. Range: 1 byte to 16 MiB.
    /// Default: 64 KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if `bytes` is out of range.
    pub fn max_body_bytes(mut self, bytes: usize) -> Result<Self, InvalidProbe> {
        self.max_body_bytes = byte_limit("max_body_bytes", bytes)?;
        Ok(self)
    }

    /// Sets the HTTP version of the request. Default: [`HttpVersion::Negotiated`].
    #[must_use]
    pub fn version(mut self, version: HttpVersion) -> Self {
        self.version = version;
        self
    }

    /// Sets the TLS settings of the probe. The probe then uses TLS for every address. Without this call, the probe uses
    /// TLS only if the address is an `https` URL, with the settings of [`TlsProbe::new`].
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsProbe) -> Self {
        self.security.tls = Some(tls);
        self
    }
}

fn refuse(setting: &'static str, value: &str, expected: &'static str) -> InvalidProbe {
    InvalidProbe { setting, value: value.to_owned(), expected: expected.into() }
}
