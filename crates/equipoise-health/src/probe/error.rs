use std::{borrow::Cow, error::Error, io};

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The address is none that this probe can use.
    #[error("cannot be checked at {address:?}: {reason}")]
    Address {
        /// The address as the endpoint has it.
        address: String,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// No connection: no address for the name, refused, unreachable, or a handshake that failed.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke, or something else went wrong underneath.
    #[error("{0}")]
    Broken(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// An answer that is not the expected one.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// The system does not let this process look: nothing is said about the endpoint.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The probe panicked.
    #[error("the probe panicked")]
    Panicked,
}

/// Why a probe's setting is refused: which one, and what would be right.
///
/// ```
/// # #[cfg(feature = "tokio")] {
/// use equipoise_health::probe::Tcp;
///
/// let refused = Tcp::new().max_in_flight(0).unwrap_err();
/// assert_eq!(refused.setting, "limit");
/// assert_eq!(refused.to_string(), r#"limit cannot be "0": from 1 to 16 777 216 bytes are read"#);
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {value:?}: {wanted}")]
#[non_exhaustive]
pub struct InvalidProbe {
    /// Which setting.
    pub setting: &'static str,
    /// What it was to be.
    pub value: String,
    /// What would be right.
    pub wanted: Cow<'static, str>,
}

impl ProbeError {
    /// The whole chain of causes: an error of hyper or rustls rarely says on its own what happened.
    pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // Errors that repeat their cause are common.
            if !text.ends_with(&next) {
                text = format!("{text}: {next}");
            }
            cause = error.source();
        }
        text
    }
}

impl From<io::Error> for ProbeError {
    fn from(error: io::Error) -> Self {
        ProbeError::Broken(ProbeError::chain(&error))
    }
}

impl From<String> for ProbeError {
    fn from(reason: String) -> Self {
        ProbeError::Broken(reason)
    }
}

impl From<&str> for ProbeError {
    fn from(reason: &str) -> Self {
        ProbeError::Broken(reason.to_owned())
    }
}
