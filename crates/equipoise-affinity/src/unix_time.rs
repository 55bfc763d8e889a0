//! Times as durations since 1970. Cookies, tokens and Redis store times in this form.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns the time since 1970. Returns 0 for a time before 1970, which only a wrong clock returns.
pub(crate) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the whole seconds since 1970. Returns 0 for a time before 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    since_1970(time).as_secs()
}
