use super::{error::InvalidScenario, work::Work};

/// Responses whose body takes long after the first byte, such as downloads, event streams and tunnels.
///
/// The client holds the [lease](equipoise_core::Lease) of a request until the end of the body. The server works only
/// until the first byte. While a body is transferred, the body takes none of the server's capacity, and its request no
/// longer counts as a request at the server.
///
/// The latency of a request is the time to its first byte, without the body. If the server dies
/// ([`Fault::refuses`](crate::Fault::refuses)) or becomes unreachable ([`Fault::blackhole`](crate::Fault::blackhole)),
/// the body breaks off and the request counts as [broken](crate::Ends::broken). The client notices a death after the
/// network delay, and an unreachable server after the [timeout](crate::Scenario::timeout), counted from the start of the
/// fault. The lease of the request ends then.
///
/// ```
/// use std::time::Duration;
/// use equipoise_sim::{Bodies, Work};
///
/// // Every response takes 2 s after its first byte.
/// let downloads = Bodies::all(Work::constant(Duration::from_secs(2)));
/// // One request in a hundred becomes a tunnel of one minute on average.
/// let tunnels = Bodies::some(0.01, Work::exponential(Duration::from_secs(60)));
/// # let _ = (downloads, tunnels);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bodies {
    pub(crate) share: f64,
    /// The distribution of the time from the first byte to the end of the body. Only its values are used: they are not
    /// work.
    pub(crate) duration: Work,
}

impl Bodies {
    /// Creates bodies for all responses. `duration` is the distribution of the time from the first byte of a response
    /// to the end of its body. The mean of `duration` must be above 0.
    pub const fn all(duration: Work) -> Self {
        Self::some(1.0, duration)
    }

    /// Creates bodies for a part of the responses, which is drawn at random. `share` is the probability that a response
    /// has a body, from 0 to 1. The other responses end with their first byte. `duration` is the distribution of the
    /// time from the first byte to the end of the body. The mean of `duration` must be above 0.
    pub const fn some(share: f64, duration: Work) -> Self {
        Self { share, duration }
    }

    pub(super) fn check(&self) -> Result<(), InvalidScenario> {
        if !(0.0..=1.0).contains(&self.share) {
            return Err(InvalidScenario::Share { setting: "bodies", share: self.share });
        }
        self.duration.check()
    }
}
