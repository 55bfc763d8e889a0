use std::time::Duration;

/// The error for a time setting of a strategy that is below the minimum of 1 µs.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::PeakEwma;
///
/// let refused = PeakEwma::new().decay(Duration::ZERO).unwrap_err();
/// assert_eq!(refused.to_string(), "decay cannot be 0ns: use at least 1 us, usually some seconds");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {value:?}: use at least 1 us, usually some seconds")]
#[non_exhaustive]
pub struct InvalidSpan {
    /// The name of the setting whose time is too short, such as `decay`.
    pub setting: &'static str,
    /// The time that was set.
    pub value: Duration,
}

/// The shortest valid time: the resolution of clocks and latencies. Zero is not valid, because it could mean "never" as
/// well as "at once".
const SHORTEST: Duration = Duration::from_micros(1);

/// Returns `value`, or an error if it is too short.
pub(super) const fn span(setting: &'static str, value: Duration) -> Result<Duration, InvalidSpan> {
    if value.as_nanos() < SHORTEST.as_nanos() { Err(InvalidSpan { setting, value }) } else { Ok(value) }
}
