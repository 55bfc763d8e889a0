use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A session: a random number that tells it from others, and when it began. Both survive each new token, also one that
/// moves the session to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Session {
    pub(super) nonce: [u8; 8],
    pub(super) began: u32,
}

impl Session {
    /// A new session.
    pub fn start(now: SystemTime) -> Self {
        Self { nonce: rand::random(), began: seconds(now) }
    }

    /// Its random number, to place it by: whoever hashes it the same way sends it to the same endpoint.
    pub fn key(&self) -> &[u8; 8] {
        &self.nonce
    }

    /// When it began, in whole seconds.
    pub fn began(&self) -> SystemTime {
        moment(self.began)
    }
}

/// Seconds since 1970, within 1970 to 2106.
pub(super) fn seconds(time: SystemTime) -> u32 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

pub(super) fn moment(seconds: u32) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.into())).unwrap_or(UNIX_EPOCH)
}
