use super::error::InvalidScenario;

/// The distribution of the keys of requests. Hashing strategies pick an endpoint by the key.
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
    /// Creates a Zipf distribution of `count` different keys. The frequency of the k-th most frequent key is
    /// proportional to 1 / k^`exponent`. With `exponent` 1, the most frequent key is twice as frequent as the second.
    /// With `exponent` 0, all keys are equally frequent. Range of `count`: 1 to 10⁸. Range of `exponent`: 0 to 100.
    pub const fn zipf(count: u32, exponent: f64) -> Self {
        Self { count, exponent }
    }

    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        let max = 100_000_000;
        if self.count == 0 || self.count > max || !(0.0..=100.0).contains(&self.exponent) {
            return Err(InvalidScenario::Keys { count: self.count, exponent: self.exponent, max });
        }
        Ok(())
    }
}
