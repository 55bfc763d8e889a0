use std::{borrow::Cow, error::Error, io};

/// Why a probe of an endpoint failed or was inconclusive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The probe cannot use the address of the endpoint, for example because the address has no port.
    #[error("cannot be checked at {address:?}: {reason}")]
    Address {
        /// The address of the endpoint, as in its [spec](equipoise_core::EndpointSpec).
        address: String,
        /// What is wrong with the address, as text for people.
        reason: Cow<'static, str>,
    },
    /// The probe could not connect to the endpoint. The text gives the reason. Possible reasons: the host name has no
    /// address, the connection was refused, the host is unreachable, or the TLS handshake failed.
    #[error("no connection: {0}")]
    Connect(String),
    /// The probe failed for a reason that has no other variant, such as a broken connection. The text gives the reason.
    /// Custom probes use this variant for their own errors.
    #[error("{0}")]
    Failed(String),
    /// The probe exceeded its [timeout](crate::Schedule::timeout).
    #[error("no answer in time")]
    Timeout,
    /// The endpoint answered the probe, but not as expected. The text describes the answer.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// The operating system does not permit the probe, for example because the process may not open ICMP sockets. The
    /// text gives the reason. The state of the endpoint does not change.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The code of the probe panicked. The probe counts as failed.
    #[error("the probe panicked")]
    Panicked,
}

/// The error for an invalid setting of a probe. Its text names the setting, the invalid value, and what to use
/// instead.
///
/// ```
/// # #[cfg(feature = "tokio")] {
/// use equipoise_health::probe::TcpProbe;
///
/// let error = TcpProbe::new().max_bytes(0).unwrap_err();
/// assert_eq!(error.setting, "max_bytes");
/// assert_eq!(error.to_string(), r#"max_bytes cannot be "0": use from 1 to 16 777 216 bytes"#);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {value:?}: {expected}")]
#[non_exhaustive]
pub struct InvalidProbe {
    /// The name of the invalid setting, such as `max_bytes`. The method that sets it usually has the same name.
    pub setting: &'static str,
    /// The invalid value as text, such as `0`.
    pub value: String,
    /// What to use instead, as text for people, such as `use from 1 to 16 777 216 bytes`.
    pub expected: Cow<'static, str>,
}

impl ProbeError {
    /// Returns the name of this kind of error in lower case: `address`, `connect`, `failed`, `timeout`, `unexpected`,
    /// `forbidden` or `panicked`. The name never changes.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Connect(_) => "connect",
            Self::Failed(_) => "failed",
            Self::Timeout => "timeout",
            Self::Unexpected(_) => "unexpected",
            Self::Forbidden(_) => "forbidden",
            Self::Panicked => "panicked",
        }
    }

    /// Returns the text of an error and its causes. The errors of hyper and rustls are rarely clear without their
    /// causes.
    pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // Some errors already end with the text of their cause.
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            cause = error.source();
        }
        text
    }
}

/// Returns [`ProbeError::Failed`] with the text of the I/O error and of its causes.
impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        ProbeError::Failed(ProbeError::chain(&error))
    }
}

/// Returns [`ProbeError::Failed`] with the text `reason`.
impl From<String> for ProbeError {
    fn from(reason: String) -> Self {
        ProbeError::Failed(reason)
    }
}

/// Returns [`ProbeError::Failed`] with the text `reason`.
impl From<&str> for ProbeError {
    fn from(reason: &str) -> Self {
        ProbeError::Failed(reason.to_owned())
    }
}
