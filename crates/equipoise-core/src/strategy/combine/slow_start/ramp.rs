use crate::{
    sync::{AtomicU64, Ordering},
    time::Timestamp,
};

/// The start time of an endpoint in nanoseconds, plus 1. 0 if the endpoint did not start slowly.
#[derive(Debug, Default)]
pub struct Ramp(AtomicU64);

impl Ramp {
    pub(super) fn start(&self, now: Timestamp) {
        self.0.store(now.as_nanos().saturating_add(1), Ordering::Relaxed);
    }

    /// Returns the start time. `None` if the start has ended, or if the endpoint did not start slowly.
    pub(super) fn started(&self, curve: Curve, now: Timestamp) -> Option<Timestamp> {
        let start = Timestamp::from_nanos(self.0.load(Ordering::Relaxed).checked_sub(1)?);
        (now < curve.end(start)).then_some(start)
    }
}

/// The curve by which the share of a starting endpoint rises.
#[derive(Clone, Copy, Debug)]
pub(super) struct Curve {
    /// The duration of a start in nanoseconds.
    pub(super) window: u64,
    pub(super) exponent: f64,
    pub(super) floor: f64,
}

impl Curve {
    pub(super) const DEFAULT: Self = Self { window: 30_000_000_000, exponent: 1.0, floor: 0.1 };

    pub(super) fn end(self, start: Timestamp) -> Timestamp {
        Timestamp::from_nanos(start.as_nanos().saturating_add(self.window))
    }

    pub(super) fn factor(self, start: Timestamp, now: Timestamp) -> f64 {
        let elapsed = now.as_nanos().saturating_sub(start.as_nanos()) as f64 / self.window.max(1) as f64;
        // The usual straight line needs no power.
        let risen = if self.exponent == 1.0 { elapsed } else { elapsed.powf(self.exponent) };
        risen.clamp(self.floor, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(percent: u64, exponent: f64) -> f64 {
        Curve { exponent, ..Curve::DEFAULT }.factor(Timestamp::ZERO, Timestamp::from_nanos(300_000_000 * percent))
    }

    #[test]
    fn factors_are_envoys() {
        assert_eq!([0, 5, 10, 50, 100, 300].map(|percent| at(percent, 1.0)), [0.1, 0.1, 0.1, 0.5, 1.0, 1.0]);
        assert!((at(25, 1.0 / 2.0) - 0.5).abs() < 1e-12);
        assert!((at(50, 1.0 / 0.5) - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_start_is_over_after_the_window() {
        let (ramp, curve) = (Ramp::default(), Curve::DEFAULT);
        assert_eq!(ramp.started(curve, Timestamp::ZERO), None);
        ramp.start(Timestamp::from_nanos(5));
        assert_eq!(ramp.started(curve, Timestamp::from_nanos(5)), Some(Timestamp::from_nanos(5)));
        assert_eq!(ramp.started(curve, Timestamp::from_nanos(30_000_000_005)), None);
    }
}
