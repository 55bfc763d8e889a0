//! The probe over HTTP: what is asked and what is expected; `exchange.rs` is how.

mod exchange;

use std::ops::RangeInclusive;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, USER_AGENT},
    uri::{Authority, PathAndQuery},
};

#[cfg(feature = "tls")]
use super::Tls;
use super::{
    InvalidProbe,
    open::{Security, authority},
    pattern::{Pattern, bound},
};

/// A request over HTTP, on a connection of its own.
///
/// ```
/// use equipoise_health::probe::Http;
///
/// let plain = Http::new("/healthz")?;
/// let picky = Http::new("/status?full=1")?
///     .host("shop.example.com")?
///     .header("authorization", "Bearer of news")?
///     .statuses([200..=204])?
///     .body_contains("\"ready\":true")?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// It passes when the status is expected, by default from 200 to 399; redirects are not followed. The body is read only if
/// something is looked for in it, and then until that is found or [`body_limit`](Self::body_limit) is reached: what is beyond
/// does not count, so that an endless body is a failed probe, unless it has what is looked for.
///
/// TLS is used where the endpoint's address is an `https` URL, or where `tls` was called.
#[derive(Clone, Debug)]
pub struct Http {
    method: Method,
    path: PathAndQuery,
    host: Option<Authority>,
    headers: HeaderMap,
    statuses: Vec<RangeInclusive<u16>>,
    body: Option<Pattern>,
    body_limit: usize,
    version: HttpVersion,
    security: Security,
}

/// Which HTTP to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/1.1 in the clear; what the endpoint prefers over TLS.
    #[default]
    Negotiated,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in the clear without asking (prior knowledge).
    Http2,
}

impl Http {
    /// `GET`s this path, which may have a query.
    ///
    /// # Errors
    ///
    /// When it is no path: it begins with `/`, and has neither a fragment nor blanks.
    pub fn new(path: &str) -> Result<Self, InvalidProbe> {
        let parsed = PathAndQuery::try_from(path).ok().filter(|_| path.starts_with('/') && !path.contains('#'));
        let path = parsed.ok_or_else(|| {
            refuse("path", path, "it begins with '/', like \"/healthz?full=1\"; blanks and others are %-encoded")
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
            body_limit: 64 * 1024,
            version: HttpVersion::default(),
            security: Security::default(),
        })
    }

    /// Another method than `GET`. No body is sent with any.
    ///
    /// # Errors
    ///
    /// When it is none, or `CONNECT`.
    pub fn method(mut self, method: &str) -> Result<Self, InvalidProbe> {
        let parsed = Method::from_bytes(method.as_bytes()).ok().filter(|method| method != Method::CONNECT);
        self.method =
            parsed.ok_or_else(|| refuse("method", method, "it is one like GET, HEAD or OPTIONS, not CONNECT"))?;
        Ok(self)
    }

    /// What to say in `Host`, or `:authority`. By default the host and port that is connected to.
    ///
    /// # Errors
    ///
    /// When it is no host with or without a port.
    pub fn host(mut self, host: &str) -> Result<Self, InvalidProbe> {
        self.host = Some(authority("host", host)?);
        Ok(self)
    }

    /// One more header. `Accept` and `User-Agent` are replaced if given.
    ///
    /// # Errors
    ///
    /// When it is none, or one that is not the user's: `Host` (see [`host`](Self::host)), and what speaks of a body.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidProbe> {
        let key =
            HeaderName::try_from(name).map_err(|_| refuse("header", name, "a name is letters, digits and '-'"))?;
        let header = HeaderValue::try_from(value)
            .map_err(|_| refuse("header", value, "a value is visible ASCII and blanks, without line ends"))?;
        match key {
            HOST => return Err(refuse("header", name, "that one has a setting of its own, host")),
            CONTENT_LENGTH | TRANSFER_ENCODING => return Err(refuse("header", name, "a probe sends no body")),
            ACCEPT | USER_AGENT => drop(self.headers.insert(key, header)),
            _ => drop(self.headers.append(key, header)),
        }
        Ok(self)
    }

    /// Which statuses are expected instead of those from 200 to 399.
    ///
    /// # Errors
    ///
    /// When there is none, or a range is backwards or leaves 100 to 999.
    pub fn statuses(mut self, expected: impl IntoIterator<Item = RangeInclusive<u16>>) -> Result<Self, InvalidProbe> {
        self.statuses = expected.into_iter().collect();
        let right = |range: &RangeInclusive<u16>| !range.is_empty() && *range.start() >= 100 && *range.end() <= 999;
        if self.statuses.is_empty() || !self.statuses.iter().all(right) {
            let value = format!("{:?}", self.statuses);
            return Err(refuse(
                "statuses",
                &value,
                "it is one or more ranges within 100..=999, like [200..=299, 404..=404]",
            ));
        }
        Ok(self)
    }

    /// Passes only when this is somewhere in the body; the last expectation counts.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub fn body_contains(mut self, text: impl Into<Vec<u8>>) -> Result<Self, InvalidProbe> {
        self.body = Some(Pattern::contains("body_contains", text.into())?);
        Ok(self)
    }

    /// Passes only when this regular expression matches somewhere in the body, or in as much of it as is read; the last
    /// expectation counts.
    ///
    /// # Errors
    ///
    /// When it is not one of the crate `regex`.
    #[cfg(feature = "regex")]
    pub fn body_matches(mut self, expression: &str) -> Result<Self, InvalidProbe> {
        self.body = Some(Pattern::regex("body_matches", expression)?);
        Ok(self)
    }

    /// How much of a body is read at most. By default 64 KiB.
    ///
    /// # Errors
    ///
    /// When it is 0, or above 16 MiB.
    pub fn body_limit(mut self, bytes: usize) -> Result<Self, InvalidProbe> {
        self.body_limit = bound("body_limit", bytes)?;
        Ok(self)
    }

    /// Which HTTP to speak.
    #[must_use]
    pub fn version(mut self, version: HttpVersion) -> Self {
        self.version = version;
        self
    }

    /// Speaks TLS, whatever the address says, with this. An `https` address has [`Tls::new`] by default.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.security.tls = Some(tls);
        self
    }
}

fn refuse(setting: &'static str, value: &str, wanted: &'static str) -> InvalidProbe {
    InvalidProbe { setting, value: value.to_owned(), wanted: wanted.into() }
}
