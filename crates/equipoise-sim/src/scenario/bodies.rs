use super::{error::InvalidScenario, work::Work};

/// Responses whose body takes long after the first byte: downloads, event streams, tunnels.
///
/// The client holds the lease of the request until the end of the body. The server only does the work up to the first
/// byte: a body takes none of its capacity and does not count as a request at the server.
///
/// The latency of a request is the time to its first byte. A body breaks off if its server dies
/// ([`Fault::refuses`](crate::Fault::refuses)); its request then counts as broken.
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
    /// Duration of the body, not work.
    pub(crate) duration: Work,
}

impl Bodies {
    /// Gives every response a body. `duration` is the distribution of the time from the first byte to the end.
    pub const fn all(duration: Work) -> Self {
        Self::some(1.0, duration)
    }

    /// Gives this share of the responses (from 0 to 1) a body, drawn at random. The others end with their first byte.
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
