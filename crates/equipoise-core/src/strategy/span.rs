use std::time::Duration;

/// A time over which a strategy remembers, too short to remember anything.
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
    /// The setting's name.
    pub setting: &'static str,
    /// The time as given.
    pub given: Duration,
}

/// Latencies and clocks are not told apart below this. Zero would read as "never" or "off" as well as "at once".
const SHORTEST: Duration = Duration::from_micros(1);

/// The time, if something can be remembered over it.
pub(super) const fn span(setting: &'static str, given: Duration) -> Result<Duration, InvalidSpan> {
    if given.as_nanos() < SHORTEST.as_nanos() { Err(InvalidSpan { setting, given }) } else { Ok(given) }
}
