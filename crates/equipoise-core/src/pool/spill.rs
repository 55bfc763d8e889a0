//! How traffic is shared among tiers.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Hooks;
use crate::{entropy::thread_random, request::PickRequest};

/// How traffic is shared among tiers while several of them have eligible endpoints: see
/// [`PoolBuilder::spill`](crate::PoolBuilder::spill).
///
/// ```
/// use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool, Spill, Tier};
///
/// let pool = Pool::<()>::builder(P2c::new()).spill(Spill::ENVOY).build();
/// let near = ["a:80", "b:80", "c:80"].map(EndpointSpec::new);
/// let far = ["x:80", "y:80", "z:80"].map(|id| EndpointSpec::new(id).tier(Tier::BACKUP));
/// pool.update(near.into_iter().chain(far), |_| ())?;
/// // With two of three left, the near tier is 93 % healthy (2/3 × 140 %), so 7 % of the traffic goes far.
/// pool.set_availability("a:80", Availability::Closed)?;
/// # let _ = pool.pick(&PickRequest::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spill {
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

impl Spill {
    /// [`Proportional`](Self::Proportional) with Envoy's 140 %.
    pub const ENVOY: Self = Self::Proportional { overprovisioning: 140 };

    /// The shares of tiers in this state, in order of priority; `None` if the first that can be used takes all.
    pub(super) fn shares(self, tiers: &[TierHealth]) -> Option<Shares> {
        let Self::Proportional { overprovisioning } = self else { return None };
        let fractions = fractions(tiers, f64::from(overprovisioning.max(1)) / 100.0);
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
    /// Those of a weight above 0.
    pub(super) members: usize,
}

/// The part of the traffic that each tier gets; all zero if no tier has anybody.
fn fractions(tiers: &[TierHealth], overprovisioning: f64) -> Vec<f64> {
    let health = |tier: &TierHealth| (overprovisioning * tier.eligible as f64 / tier.members.max(1) as f64).min(1.0);
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
        // Rounding may leave the last bound a little short of the whole.
        self.at(bits >> 32).min(self.0.len() - 1)
    }

    fn at(&self, bits: u64) -> usize {
        self.0.iter().filter(|&&bound| bound <= bits).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares in percent under 140 %, for tiers of 100 endpoints of which so many are eligible.
    fn percent(eligible: &[usize]) -> Vec<u32> {
        let tiers: Vec<TierHealth> = eligible.iter().map(|&eligible| TierHealth { eligible, members: 100 }).collect();
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
        let tiers = [TierHealth { eligible: 0, members: 0 }, TierHealth { eligible: 1, members: 2 }];
        assert_eq!(fractions(&tiers, 1.4), [0.0, 1.0]);
        assert!(Spill::ENVOY.shares(&tiers).is_none());
        assert!(Spill::ENVOY.shares(&[]).is_none());
    }

    #[test]
    fn a_healthy_first_tier_costs_no_draw() {
        let healthy = TierHealth { eligible: 8, members: 10 };
        assert!(Spill::ENVOY.shares(&[healthy, healthy]).is_none());
        assert!(Spill::WhenExhausted.shares(&[TierHealth { eligible: 1, members: 10 }, healthy]).is_none());
    }

    #[test]
    fn every_number_falls_into_a_tier_that_has_a_share() {
        let tiers = [0, 3, 0, 4, 0].map(|eligible| TierHealth { eligible, members: 10 });
        let shares = Spill::ENVOY.shares(&tiers).expect("two have a share");
        for bits in [0, 1, u64::from(u32::MAX) / 2, u64::from(u32::MAX)] {
            assert!([1, 3].contains(&shares.at(bits)), "{bits}");
        }
    }
}
