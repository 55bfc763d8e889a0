use std::time::Duration;

/// A time setting of a strategy is too short: it must be at least 1 µs.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::PeakEwma;
///
/// let refused = PeakEwma::new().decay(Duration::ZERO).unwrap_err();
/// assert_eq!(refused.to_string(), "decay cannot be 0ns: it is at least 1 us, usually some seconds");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {given:?}: it is at least 1 us, usually some seconds")]
#[non_exhaustive]
pub struct InvalidSpan {
    /// The name of the setting.
    pub setting: &'static str,
    /// The given time.
    pub given: Duration,
}

/// The resolution of clocks and latencies. Zero could mean "never" as well as "at once".
const SHORTEST: Duration = Duration::from_micros(1);

/// Returns `given` if it is long enough.
pub(super) const fn span(setting: &'static str, given: Duration) -> Result<Duration, InvalidSpan> {
    if given.as_nanos() < SHORTEST.as_nanos() { Err(InvalidSpan { setting, given }) } else { Ok(given) }
}
