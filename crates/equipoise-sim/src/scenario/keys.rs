use super::InvalidScenario;

/// What requests are placed by.
///
/// ```
/// use equipoise_sim::Keys;
///
/// let keys = Keys::zipf(10_000, 1.0);
/// # let _ = keys;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Keys {
    pub(crate) count: u32,
    pub(crate) exponent: f64,
}

impl Keys {
    /// So many keys, of which the kth most popular comes with a frequency of 1 / k^`exponent`. With an exponent of 0 all
    /// are alike.
    pub const fn zipf(count: u32, exponent: f64) -> Self {
        Self { count, exponent }
    }

    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        let most = 100_000_000;
        if self.count == 0 || self.count > most || !(0.0..=100.0).contains(&self.exponent) {
            return Err(InvalidScenario::Keys { count: self.count, exponent: self.exponent, most });
        }
        Ok(())
    }
}
