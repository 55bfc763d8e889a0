use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

#[cfg(feature = "opentelemetry")]
use super::context::Propagator;
use super::{
    exemplars::Exemplars,
    semantics::{SpanKind, UrlSettings},
};

/// The settings of a [`Trace`](super::Trace).
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) kind: SpanKind,
    pub(super) pool: Arc<str>,
    pub(super) urls: UrlSettings,
    pub(super) explained: Share,
    pub(super) exemplars: Option<Exemplars>,
    #[cfg(feature = "opentelemetry")]
    pub(super) propagator: Propagator,
}

impl Settings {
    pub(super) fn new(kind: SpanKind, pool: Arc<str>) -> Self {
        Self {
            kind,
            pool,
            urls: UrlSettings::default(),
            explained: Share::default(),
            exemplars: None,
            #[cfg(feature = "opentelemetry")]
            propagator: Propagator::default(),
        }
    }
}

/// Chooses a share of requests, evenly. Clones choose together.
#[derive(Clone, Debug, Default)]
pub(super) struct Share {
    /// In millionths.
    parts: u64,
    /// The sum of the parts of all requests so far.
    sum: Arc<AtomicU64>,
}

impl Share {
    const WHOLE: u64 = 1_000_000;

    /// Chooses this share of the requests. Values outside of 0 to 1 count as the nearest of these, and NaN as 0.
    pub(super) fn new(share: f64) -> Self {
        Self { parts: (share.clamp(0.0, 1.0) * Self::WHOLE as f64).round() as u64, sum: Arc::default() }
    }

    /// Returns whether the next request is chosen: each time that the sum reaches another whole number.
    pub(super) fn next(&self) -> bool {
        if self.parts == 0 {
            return false;
        }
        let before = self.sum.fetch_add(self.parts, Ordering::Relaxed);
        before / Self::WHOLE != before.wrapping_add(self.parts) / Self::WHOLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_requests_is_chosen_evenly() {
        let chosen = |share: Share, of: usize| (0..of).filter(|_| share.next()).collect::<Vec<_>>();
        assert_eq!(chosen(Share::new(0.25), 12), [3, 7, 11]);
        assert_eq!(chosen(Share::new(1.0), 3), [0, 1, 2]);
        assert_eq!(chosen(Share::new(7.0), 3), [0, 1, 2]);
        assert_eq!(chosen(Share::new(0.0), 100), [0; 0]);
        assert_eq!(chosen(Share::new(-1.0), 100), [0; 0]);
        assert_eq!(chosen(Share::new(f64::NAN), 100), [0; 0]);
    }
}
