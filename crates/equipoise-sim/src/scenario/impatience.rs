use std::time::Duration;

use super::error::InvalidScenario;

/// Callers that give up: they drop a request that has no first byte after a time.
///
/// The client cancels the attempt and drops its lease without a verdict, as a tower service does whose caller drops the
/// response future. Strategies learn of it by [`Strategy::on_abandon`](equipoise_core::Strategy::on_abandon). The
/// request is not sent again. A timeout, in contrast, is a failure with a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impatience {
    pub(crate) share: f64,
    pub(crate) after: Duration,
}

impl Impatience {
    /// Makes the callers of this share of the requests (from 0 to 1) give up after this time (from 1 ns to 10⁹ s).
    pub const fn new(share: f64, after: Duration) -> Self {
        Self { share, after }
    }

    pub(super) fn check(&self, longest: Duration) -> Result<(), InvalidScenario> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(InvalidScenario::Share { setting: "impatience", share: self.share });
        }
        if self.after.is_zero() || self.after > longest {
            return Err(InvalidScenario::Time { setting: "impatience", what: "use from 1 ns to 10⁹ s" });
        }
        Ok(())
    }
}
