use std::time::Duration;

use http::{HeaderName, HeaderValue, header};

use super::edit::{FieldEdits, InvalidEdit};

/// The response fields with which browsers protect a site. Fields that the endpoint has set stay.
///
/// | field | default |
/// | --- | --- |
/// | `X-Content-Type-Options` | `nosniff` |
/// | `X-Frame-Options` | `DENY` |
/// | `Referrer-Policy` | `strict-origin-when-cross-origin` |
/// | `Strict-Transport-Security` (RFC 6797) | not set; over TLS only |
/// | `Content-Security-Policy` | not set |
///
/// ```
/// use std::time::Duration;
/// use equipoise_gateway::filter::SecurityFields;
///
/// let edits = SecurityFields::new()
///     .hsts(Duration::from_secs(365 * 24 * 3600), true)
///     .content_security_policy("default-src 'self'")
///     .edits()?;
/// # drop(edits);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SecurityFields {
    hsts: Option<(Duration, bool)>,
    frame_options: Option<String>,
    referrer_policy: Option<String>,
    content_security_policy: Option<String>,
}

impl SecurityFields {
    /// Creates the fields with the defaults in the table.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hsts: None,
            frame_options: Some("DENY".to_owned()),
            referrer_policy: Some("strict-origin-when-cross-origin".to_owned()),
            content_security_policy: None,
        }
    }

    /// Sets `Strict-Transport-Security`: browsers use only TLS for the host for the time `max_age`, in whole seconds,
    /// and with `subdomains` for all hosts below it. It is sent only to clients that use TLS. Default: not sent,
    /// because it cannot be taken back before the time is over.
    #[must_use]
    pub fn hsts(mut self, max_age: Duration, subdomains: bool) -> Self {
        self.hsts = Some((max_age, subdomains));
        self
    }

    /// Sets `X-Frame-Options`: `DENY` or `SAMEORIGIN`. `None` leaves it out. Default: `DENY`.
    #[must_use]
    pub fn frame_options(mut self, value: Option<&str>) -> Self {
        self.frame_options = value.map(ToOwned::to_owned);
        self
    }

    /// Sets `Referrer-Policy`. `None` leaves it out. Default: `strict-origin-when-cross-origin`.
    #[must_use]
    pub fn referrer_policy(mut self, value: Option<&str>) -> Self {
        self.referrer_policy = value.map(ToOwned::to_owned);
        self
    }

    /// Sets `Content-Security-Policy`. Braces are written as they are. Default: not set, because it depends on the
    /// pages.
    #[must_use]
    pub fn content_security_policy(mut self, value: &str) -> Self {
        self.content_security_policy = Some(value.to_owned());
        self
    }

    /// Returns the changes of responses.
    ///
    /// # Errors
    ///
    /// [`InvalidEdit`] if a value is not a valid value of a field, or `X-Frame-Options` is neither `DENY` nor
    /// `SAMEORIGIN`.
    pub fn edits(&self) -> Result<FieldEdits, InvalidEdit> {
        if let Some(value) = &self.frame_options
            && !matches!(value.as_str(), "DENY" | "SAMEORIGIN")
        {
            return Err(InvalidEdit { field: "x-frame-options".to_owned(), valid: "write DENY or SAMEORIGIN" });
        }
        let mut edits = FieldEdits::new().set_if_absent(header::X_CONTENT_TYPE_OPTIONS.as_str(), "nosniff")?;
        let values: [(HeaderName, &Option<String>); 3] = [
            (header::X_FRAME_OPTIONS, &self.frame_options),
            (header::REFERRER_POLICY, &self.referrer_policy),
            (header::CONTENT_SECURITY_POLICY, &self.content_security_policy),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                edits = edits.set_if_absent(name.as_str(), &value.replace('{', "{{").replace('}', "}}"))?;
            }
        }
        if let Some((max_age, subdomains)) = self.hsts {
            let subdomains = if subdomains { "; includeSubDomains" } else { "" };
            let value = HeaderValue::try_from(format!("max-age={}{subdomains}", max_age.as_secs())).map_err(|_| {
                InvalidEdit { field: "strict-transport-security".to_owned(), valid: "write a time in seconds" }
            })?;
            edits = edits.set_over_tls(header::STRICT_TRANSPORT_SECURITY, value);
        }
        Ok(edits)
    }
}

impl Default for SecurityFields {
    fn default() -> Self {
        Self::new()
    }
}
