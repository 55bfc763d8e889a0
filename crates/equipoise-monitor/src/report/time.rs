//! Times as numbers.

#[cfg(feature = "serde")]
use std::time::Duration;
use std::time::SystemTime;

/// Returns a time as seconds since 1970. Earlier times are negative.
pub(crate) fn unix_seconds(at: SystemTime) -> f64 {
    match at.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// Serializes a time as seconds since 1970.
#[cfg(feature = "serde")]
pub(crate) fn serialize_time<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(unix_seconds(*at))
}

/// Serializes a duration as seconds.
#[cfg(feature = "serde")]
pub(crate) fn serialize_duration<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SystemTime, unix_seconds};

    #[test]
    fn times_before_1970_are_negative() {
        let half = Duration::from_millis(500);
        assert_eq!(unix_seconds(SystemTime::UNIX_EPOCH + half), 0.5);
        assert_eq!(unix_seconds(SystemTime::UNIX_EPOCH - half), -0.5);
    }
}
