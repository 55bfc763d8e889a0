use std::time::Duration;

use super::error::InvalidScenario;

/// Callers that give up: they stop waiting for a response if its first byte has not come within a given time.
///
/// When a caller gives up, the client cancels the request and drops its [lease](equipoise_core::Lease) without a
/// verdict. A tower service does the same when its caller drops the response future. The strategy is informed by
/// [`Strategy::on_abandon`](equipoise_core::Strategy::on_abandon). The request is not sent again, and counts as [given
/// up](crate::Ends::given_up).
///
/// A [timeout](crate::Scenario::timeout), in contrast, is a failure of the server: it has a verdict, and the request
/// may be retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impatience {
    pub(crate) share: f64,
    pub(crate) after: Duration,
}

impl Impatience {
    /// Creates impatient callers. `share` is the probability, from 0 to 1, that the caller of a request is impatient.
    /// Such a caller gives up when the time `after` has passed since the arrival of the request at the client. This
    /// time includes waiting in the queue and earlier attempts. Range of `after`: 1 ns to 10⁹ s.
    pub const fn new(share: f64, after: Duration) -> Self {
        Self { share, after }
    }

    pub(super) fn check(&self, max_time: Duration) -> Result<(), InvalidScenario> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(InvalidScenario::Share { setting: "impatience", share: self.share });
        }
        if self.after.is_zero() || self.after > max_time {
            let (setting, value) = ("the time of impatience", format!("{:?}", self.after));
            return Err(InvalidScenario::Setting { setting, value, expected: "use from 1 ns to 10⁹ s" });
        }
        Ok(())
    }
}
