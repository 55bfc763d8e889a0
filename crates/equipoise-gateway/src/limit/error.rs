use http::StatusCode;

use super::Quota;
use crate::InvalidSetting;

/// Why a layer of limits cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRateLimit {
    /// The layer has no limits or too many of them.
    #[error("a layer of rate limits cannot have {count} limits: use from 1 to {max}")]
    Count {
        /// The number of limits that were added.
        count: usize,
        /// The maximum number of limits of a layer.
        max: usize,
    },
    /// The name of a limit cannot be used in response fields and statistics.
    #[error("a limit cannot have the name {name:?}: use 1 to 64 characters of a-z, A-Z, 0-9, '_', '-' and '.'")]
    Name {
        /// The name that was set.
        name: String,
    },
    /// Two limits of the layer have the same name.
    #[error("two limits have the name {name:?}: use different names")]
    DuplicateName {
        /// The name of the two limits.
        name: String,
    },
    /// The quota of a limit can never admit a request, or its times are too long.
    #[error("the limit {name:?} cannot have the quota {quota}: {expected}")]
    Quota {
        /// The name of the limit.
        name: String,
        /// The quota that was set.
        quota: Quota,
        /// What would be right, as text.
        expected: &'static str,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// The URL of the Redis server is invalid. The error does not contain the URL, which may contain a password.
    #[error(
        "the URL of the Redis server is invalid ({reason}): use redis[s]://[user[:password]@]host[:port][/database] or \
         redis+unix:///path[?db=database]"
    )]
    Url {
        /// What is wrong with the URL, as text.
        reason: String,
    },
    /// There is no Tokio runtime for the connection to Redis. Build the layer in async code, or enter a runtime before:
    /// `let _guard = runtime.enter();`.
    #[error("there is no Tokio runtime for the connection to Redis: build the layer in async code")]
    NoRuntime,
}

impl InvalidRateLimit {
    pub(super) fn quota(name: &str, quota: Quota, expected: &'static str) -> Self {
        Self::Quota { name: name.to_owned(), quota, expected }
    }

    /// Checks that a status can be the one of denied requests.
    pub(super) fn check_status(status: StatusCode) -> Result<(), Self> {
        if status.is_client_error() || status.is_server_error() {
            return Ok(());
        }
        Err(InvalidSetting::new("status", status.as_u16(), "from 400 to 599").into())
    }
}
