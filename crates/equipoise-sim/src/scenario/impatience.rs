use std::time::Duration;

use super::error::InvalidScenario;

/// Callers that give up: they stop waiting for a response if its first byte has not come within a given time.
///
/// The client then cancels the request and drops its [lease](equipoise_core::Lease) without a verdict, like a tower
/// service whose caller drops the response future. The strategy is informed by
/// [`Strategy::on_abandon`](equipoise_core::Strategy::on_abandon). The request is not sent again, and counts as [given
/// up](crate::Ends::given_up). In contrast, a [timeout](crate::Scenario::timeout) is a failure of the server: it has a
/// verdict, and the request may be retried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impatience {
    pub(crate) share: f64,
    pub(crate) after: Duration,
}

impl Impatience {
    /// Creates impatient callers. `share` is the probability, from 0 to 1, that the caller of a request is impatient.
    /// `after` is the time from the arrival of the request at the client to the moment at which such a caller gives up,
    /// from 1 ns to 10⁹ s. Time in the queue and earlier attempts are included.
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
