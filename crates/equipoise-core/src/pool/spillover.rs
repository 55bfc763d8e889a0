//! How traffic is shared among tiers.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Hooks;
use crate::{entropy::thread_random, request::PickRequest};

/// How traffic is shared among tiers while several of them have eligible endpoints: see
/// [`PoolBuilder::spillover`](crate::PoolBuilder::spillover).
///
/// ```
/// use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool, Spillover, Tier};
///
/// let pool = Pool::<()>::builder(P2c::new()).spillover(Spillover::ENVOY).build();
/// let near = ["a:80", "b:80", "c:80"].map(EndpointSpec::new);
/// let far = ["x:80", "y:80", "z:80"].map(|id| EndpointSpec::new(id).tier(Tier::BACKUP));
/// pool.update(near.into_iter().chain(far), |_| ())?;
/// // With two of three left, the near tier is 93 % healthy (2/3 × 140 %), so 7 % of the traffic goes far.
/// pool.set_availability("a:80", Availability::Maintenance)?;
/// # let _ = pool.pick(&PickRequest::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spillover {
    /// A tier is used only when no earlier one yields an endpoint: none open, all excluded, or all at their limit.
    ///
    /// Choose it for backups that must idle. Its weakness: the last endpoints of a dying tier get all of its traffic.
    #[default]
    WhenExhausted,
    /// A tier that has lost endpoints gives up traffic before those left are swamped.
    ///
    /// A tier's health is the part of its endpoints that is eligible, times `overprovisioning`, at most 100 %. In
    /// order of priority each tier is given its health's worth of what the tiers before it leave; if all together
    /// come to less than 100 %, the shares are scaled up to it. A request's tier is drawn by these shares; if it
    /// yields nobody for the request, the others are asked in order. For a strategy that places by
    /// [key](crate::Needs::key) the tier is drawn by the key.
    ///
    /// Endpoints are counted, not weighed (Envoy's default), and those of weight 0 are left out: nobody expected work
    /// of them. Draining ones count as lost. Shares are worked out when something changes; a pick pays a random
    /// number, and only while more than one tier has a share. Source: Envoy's priority levels.
    Proportional {
        /// In percent: at 140, a tier keeps all of its traffic while 72 % of its endpoints are eligible. Zero counts
        /// as one.
        overprovisioning: u32,
    },
}

impl Spillover {
    /// [`Proportional`](Self::Proportional) with Envoy's 140 %.
    pub const ENVOY: Self = Self::Proportional { overprovisioning: 140 };

    fn overprovisioning(self) -> f64 {
        let Self::Proportional { overprovisioning } = self else { return 1.4 };
        f64::from(overprovisioning.max(1)) / 100.0
    }

    /// Which tiers are to be used whole, because too few of their endpoints are fit and the others cannot help.
    pub(super) fn panics(self, tiers: &[TierHealth], below: f64) -> Vec<bool> {
        let carried: f64 = tiers.iter().map(|tier| tier.health(self.overprovisioning())).sum();
        let panics = |tier: &TierHealth| carried < 1.0 && (tier.eligible as f64) < below * tier.willing as f64;
        tiers.iter().map(panics).collect()
    }

    /// The shares of tiers in this state, in order of priority; `None` if the first that can be used takes all.
    pub(super) fn shares(self, tiers: &[TierHealth]) -> Option<Shares> {
        let Self::Proportional { .. } = self else { return None };
        let fractions = fractions(tiers, self.overprovisioning());
        if fractions.iter().filter(|&&fraction| fraction > 0.0).count() < 2 {
            return None;
        }
        let mut sum = 0.0;
        let bounds = fractions.iter().map(|fraction| {
            sum += fraction;
            (sum * 2f64.powi(32)).round() as u64
        });
        Some(Shares(bounds.collect()))
    }
}

/// How many of a tier's endpoints can serve.
#[derive(Clone, Copy, Debug)]
pub(super) struct TierHealth {
    pub(super) eligible: usize,
    /// Those that nobody took out on purpose: the eligible and the unfit.
    pub(super) willing: usize,
    /// Those of a weight above 0.
    pub(super) members: usize,
}

impl TierHealth {
    fn health(&self, overprovisioning: f64) -> f64 {
        (overprovisioning * self.eligible as f64 / self.members.max(1) as f64).min(1.0)
    }
}

/// The part of the traffic that each tier gets; all zero if no tier has anybody.
fn fractions(tiers: &[TierHealth], overprovisioning: f64) -> Vec<f64> {
    let health = |tier: &TierHealth| tier.health(overprovisioning);
    let total = tiers.iter().map(health).sum::<f64>().min(1.0);
    let mut left = 1.0;
    let share = |tier| {
        let share = if total > 0.0 { (health(tier) / total).min(left) } else { 0.0 };
        left -= share;
        share
    };
    tiers.iter().map(share).collect()
}

/// The upper bounds of the tiers' shares, in units of 2⁻³².
#[derive(Debug)]
pub(super) struct Shares(Box<[u64]>);

/// Keeps this lot apart from others that are drawn by the same key.
const SALT: u64 = 0x7469_6572;

impl Shares {
    /// The tier that serves the request, by its position.
    pub(super) fn draw(&self, request: &PickRequest<'_>, hooks: &Hooks) -> usize {
        let bits = match (request.key.filter(|_| hooks.needs.key), &hooks.entropy) {
            (Some(key), _) => xxh3_64_with_seed(key, SALT),
            (None, Some(entropy)) => entropy.next_u64(),
            (None, None) => thread_random(),
        };
        self.at(bits)
    }

    /// The tier that these bits fall to.
    pub(super) fn at(&self, bits: u64) -> usize {
        let drawn = bits >> 32;
        // Rounding may leave the last bound a little short of the whole.
        self.0.iter().filter(|&&bound| bound <= drawn).count().min(self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(eligible: usize, members: usize) -> TierHealth {
        TierHealth { eligible, willing: members, members }
    }

    fn panics(tiers: &[(usize, usize)]) -> Vec<bool> {
        let tiers: Vec<TierHealth> = tiers.iter().map(|&(eligible, members)| of(eligible, members)).collect();
        Spillover::ENVOY.panics(&tiers, 0.5)
    }

    #[test]
    fn tiers_panic_as_envoys_table_says() {
        assert_eq!(panics(&[(25, 100), (25, 100)]), [true, true]);
        assert_eq!(panics(&[(5, 100), (65, 100)]), [true, false]);
        // The others carry it.
        assert_eq!(panics(&[(25, 100), (100, 100)]), [false, false]);
        assert_eq!(panics(&[(0, 100), (100, 100)]), [false, false]);
        assert_eq!(panics(&[(50, 100)]), [false]);
        assert_eq!(panics(&[(49, 100)]), [true]);
        assert_eq!(panics(&[(0, 1)]), [true]);
    }

    #[test]
    fn who_was_taken_out_on_purpose_is_no_reason_to_panic() {
        let drained = TierHealth { eligible: 1, willing: 1, members: 4 };
        assert_eq!(Spillover::WhenExhausted.panics(&[drained], 0.5), [false]);
        assert_eq!(Spillover::WhenExhausted.panics(&[of(0, 4)], 0.0), [false], "never, if told so");
    }

    /// Shares in percent under 140 %, for tiers of 100 endpoints of which so many are eligible.
    fn percent(eligible: &[usize]) -> Vec<u32> {
        let tiers: Vec<TierHealth> = eligible.iter().map(|&eligible| of(eligible, 100)).collect();
        fractions(&tiers, 1.4).iter().map(|share| (share * 100.0).round() as u32).collect()
    }

    #[test]
    fn shares_are_those_of_envoys_table() {
        assert_eq!(percent(&[100, 100]), [100, 0]);
        assert_eq!(percent(&[72, 72]), [100, 0]);
        assert_eq!(percent(&[71, 71]), [99, 1]);
        assert_eq!(percent(&[50, 50]), [70, 30]);
        assert_eq!(percent(&[25, 100]), [35, 65]);
        assert_eq!(percent(&[25, 25]), [50, 50]);
        assert_eq!(percent(&[5, 65]), [7, 93]);
        assert_eq!(percent(&[0, 100]), [0, 100]);
        assert_eq!(percent(&[25, 25, 50]), [35, 35, 30]);
    }

    #[test]
    fn a_tier_without_members_of_weight_has_no_share() {
        let tiers = [of(0, 0), of(1, 2)];
        assert_eq!(fractions(&tiers, 1.4), [0.0, 1.0]);
        assert!(Spillover::ENVOY.shares(&tiers).is_none());
        assert!(Spillover::ENVOY.shares(&[]).is_none());
    }

    #[test]
    fn a_healthy_first_tier_costs_no_draw() {
        let healthy = of(8, 10);
        assert!(Spillover::ENVOY.shares(&[healthy, healthy]).is_none());
        assert!(Spillover::WhenExhausted.shares(&[of(1, 10), healthy]).is_none());
    }

    #[test]
    fn every_number_falls_into_a_tier_that_has_a_share() {
        let tiers = [0, 3, 0, 4, 0].map(|eligible| of(eligible, 10));
        let shares = Spillover::ENVOY.shares(&tiers).expect("two have a share");
        for drawn in [0, 1, u64::from(u32::MAX) / 2, u64::from(u32::MAX)] {
            assert!([1, 3].contains(&shares.at(drawn << 32)), "{drawn}");
        }
    }
}
