//! How traffic is shared among tiers (priority groups of endpoints).

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{endpoint::PoolContext, request::PickRequest};

/// How tiers (priority groups of endpoints) share the traffic while several of them have eligible endpoints. Set with
/// [`PoolBuilder::spillover`](crate::PoolBuilder::spillover). Default: [`WhenExhausted`](Self::WhenExhausted).
///
/// ```
/// use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool, Spillover, Tier};
///
/// let pool = Pool::<()>::builder(P2c::new()).spillover(Spillover::ENVOY).build();
/// let near = ["a:80", "b:80", "c:80"].map(EndpointSpec::new);
/// let far = ["x:80", "y:80", "z:80"].map(|id| EndpointSpec::new(id).tier(Tier::BACKUP));
/// pool.update(near.into_iter().chain(far), |_| ())?;
/// // Two of three near endpoints are left: the health of their tier is 93 % (2/3 × 140 %). The backup tier gets 7 %.
/// pool.set_availability("a:80", Availability::Maintenance)?;
/// # let _ = pool.pick(&PickRequest::new())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spillover {
    /// Uses a tier (priority group) only if no endpoint of an earlier tier can be picked. An endpoint cannot be picked
    /// if the request excludes it, if it has reached its maximum number of requests in flight, or if it does not accept
    /// new requests (for example, because it is unhealthy).
    ///
    /// Choose this variant if a backup tier must stay idle as long as an earlier tier works. Weakness: if most
    /// endpoints of a tier fail, the remaining endpoints get all traffic of the tier.
    #[default]
    WhenExhausted,
    /// Shares the traffic by the health of the tiers. A tier (priority group of endpoints) with too few healthy
    /// endpoints passes a part of its traffic to the next tier. This prevents an overload of the healthy endpoints that
    /// the tier still has.
    ///
    /// The health of a tier is the share of its endpoints that are up, multiplied by the overprovisioning factor. A
    /// health above 100 % counts as 100 %. In order of priority, each tier gets a share of the traffic equal to its
    /// health, until all traffic is given out. For example, half of the endpoints of the first tier are up, and the
    /// factor is 140 %. The first tier gets 70 % of the traffic, and a healthy second tier gets 30 %. If the sum of the
    /// health of all tiers is below 100 %, all shares are scaled up to a sum of 100 %.
    ///
    /// The tier of a request is drawn at random in proportion to these shares. If the strategy [uses
    /// keys](crate::Needs::key), a hash of the request's key takes the place of the random number. If no endpoint of
    /// the drawn tier can be picked, the other tiers are tried in order of priority.
    ///
    /// Each endpoint counts as one, whatever its weight is, as in Envoy by default. Endpoints of weight 0 are not
    /// counted. If no endpoint of a tier is up but some are on [probation](crate::Availability::Probation), the tier
    /// counts as having one endpoint that is up. The shares are computed when the pool changes. While more than one
    /// tier has a share, a pick needs one more random number. Source: Envoy's priority levels.
    Proportional {
        /// The overprovisioning factor in percent. The share of healthy endpoints of a tier is multiplied by this
        /// factor. With 140, which is Envoy's default, a tier keeps all of its traffic while at least 72 % of its
        /// endpoints are up. With 100, it loses 1 % of its traffic for each 1 % of its endpoints that are not up.
        /// Range: 1 and above; 0 counts as 1.
        overprovisioning: u32,
    },
}

impl Spillover {
    /// [`Spillover::Proportional`] with an overprovisioning factor of 140 %, as in Envoy.
    pub const ENVOY: Self = Self::Proportional { overprovisioning: 140 };

    fn overprovisioning(self) -> f64 {
        let Self::Proportional { overprovisioning } = self else { return 1.4 };
        f64::from(overprovisioning.max(1)) / 100.0
    }

    /// Returns for each tier whether it is in a panic: whether its share of healthy endpoints is below the threshold,
    /// and all tiers together cannot carry the traffic.
    pub(super) fn panics(self, tiers: &[TierHealth], threshold: f64) -> Vec<bool> {
        let carried: f64 = tiers.iter().map(|tier| tier.health(self.overprovisioning())).sum();
        let panics = |tier: &TierHealth| carried < 1.0 && (tier.eligible as f64) < threshold * tier.in_service as f64;
        tiers.iter().map(panics).collect()
    }

    /// Returns the shares of the tiers in the traffic, in order of priority. `None` if the first tier that can serve
    /// gets all traffic.
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

/// The numbers of endpoints of one tier from which its health is computed. Only endpoints of weight above 0 are
/// counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct TierHealth {
    /// The number of endpoints that are up. It is 1 if none is up but an endpoint is on probation.
    pub(super) eligible: usize,
    /// The number of endpoints that are up, unhealthy or on probation. Endpoints that are draining or in maintenance
    /// are not counted.
    pub(super) in_service: usize,
    /// The number of endpoints of weight above 0, in any availability.
    pub(super) members: usize,
}

impl TierHealth {
    fn health(&self, overprovisioning: f64) -> f64 {
        (overprovisioning * self.eligible as f64 / self.members.max(1) as f64).min(1.0)
    }
}

/// Returns the share of each tier in the traffic. All shares are 0 if no endpoint is eligible.
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

/// The cumulative shares of the tiers in the traffic, in units of 2⁻³².
#[derive(Debug)]
pub(super) struct Shares(Box<[u64]>);

/// The seed of this hash of the request's key. It makes the hash independent of other hashes of the same key.
const SALT: u64 = 0x7469_6572;

impl Shares {
    /// Draws the position of the tier for a request: by the request's key if the strategy uses keys, otherwise at
    /// random.
    pub(super) fn draw(&self, request: &PickRequest<'_>, by_key: bool, context: &PoolContext) -> usize {
        self.at(match request.key.filter(|_| by_key) {
            Some(key) => xxh3_64_with_seed(key, SALT),
            None => context.random(),
        })
    }

    /// Returns the position of the tier that these random bits select.
    pub(super) fn at(&self, bits: u64) -> usize {
        let drawn = bits >> 32;
        // The last bound may be slightly below 1 because of rounding.
        self.0.iter().filter(|&&bound| bound <= drawn).count().min(self.0.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(eligible: usize, members: usize) -> TierHealth {
        TierHealth { eligible, in_service: members, members }
    }

    fn panics(tiers: &[(usize, usize)]) -> Vec<bool> {
        let tiers: Vec<TierHealth> = tiers.iter().map(|&(eligible, members)| of(eligible, members)).collect();
        Spillover::ENVOY.panics(&tiers, 0.5)
    }

    #[test]
    fn tiers_panic_as_envoys_table_says() {
        assert_eq!(panics(&[(25, 100), (25, 100)]), [true, true]);
        assert_eq!(panics(&[(5, 100), (65, 100)]), [true, false]);
        // The other tier can carry all traffic.
        assert_eq!(panics(&[(25, 100), (100, 100)]), [false, false]);
        assert_eq!(panics(&[(0, 100), (100, 100)]), [false, false]);
        assert_eq!(panics(&[(50, 100)]), [false]);
        assert_eq!(panics(&[(49, 100)]), [true]);
        assert_eq!(panics(&[(0, 1)]), [true]);
    }

    #[test]
    fn endpoints_taken_out_by_an_operator_do_not_cause_a_panic() {
        let drained = TierHealth { eligible: 1, in_service: 1, members: 4 };
        assert_eq!(Spillover::WhenExhausted.panics(&[drained], 0.5), [false]);
        assert_eq!(Spillover::WhenExhausted.panics(&[of(0, 4)], 0.0), [false], "a threshold of 0 means never");
    }

    /// Returns the shares of the tiers in percent, for an overprovisioning factor of 140 %. Each tier has 100
    /// endpoints, and `eligible` is the number of eligible endpoints of each tier.
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
