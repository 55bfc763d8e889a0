use std::ops::RangeInclusive;

use super::{HashMembers, InvalidHashing, KeyPlacement, Keyed, Table, keyed::sealed::Sealed};
use crate::{
    endpoint::Slot,
    entropy::{GAMMA, mix},
    strategy::{BuildError, Random},
};

/// A hash ring: each endpoint marks many points on a circle, and a key belongs to the first point after its own.
///
/// Choose it where few keys may move: an endpoint that joins or leaves moves only what it gains or loses. Its weakness:
/// shares vary by 1 / √points (8 % at the default of 160, so of a hundred endpoints the busiest gets a fifth more than
/// its share); [`Maglev`](super::Maglev) is even, and smaller. Put [`BoundedLoad`](super::BoundedLoad) around it to
/// clip the peaks.
///
/// An endpoint has [`points`](Self::points) times its weight over the mean weight. So where weights differ, a change of
/// the mean adds or takes a few points everywhere. A key whose endpoint cannot take it goes to the next point of one that
/// can.
///
/// Pick O(1): a table leads to within a few points of the right one. Build O(points) when the membership changes; 9
/// to 10 bytes a point. Sources: Karger and others, *Consistent Hashing and Random Trees*, 1997; the number of points is
/// ketama's. What all hashing strategies have in common is told at [`Keyed`].
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, Ring};
///
/// let pool = Pool::new(Ring::new().points(320)?);
/// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
/// let request = PickRequest::new().key(b"user-42");
/// let first = pool.pick(&request)?;
/// assert_eq!(pool.pick(&request)?.endpoint().id(), first.endpoint().id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Ring<F = Random> = Keyed<RingPlacement, F>;

/// Envoy's limit: about 80 MB here.
const LARGEST: u32 = 8_388_608;

impl<F> Ring<F> {
    /// How many points an endpoint of mean weight has; 160 by default, at least 1.
    ///
    /// # Errors
    ///
    /// When it is 0.
    pub fn points(mut self, points: u32) -> Result<Self, InvalidHashing> {
        if points == 0 {
            return Err(InvalidHashing::Points);
        }
        self.placement.points = points;
        Ok(self)
    }

    /// How many points the ring has in all; 1024 to 8 388 608 by default, which is as far as it can go. On a ring that
    /// would have too few, each endpoint's points are doubled until they suffice; on one that would have too many, they
    /// are halved until they fit, or each endpoint has a single one.
    ///
    /// (Doubled, because points that grew gradually would move keys between endpoints that stay.)
    ///
    /// ```
    /// use equipoise_core::Ring;
    ///
    /// let strategy = Ring::new().sizes(4096..=65_536)?;
    /// assert!(strategy.sizes(0..=8_388_609).is_err());
    /// # Ok::<(), equipoise_core::InvalidHashing>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the range is empty or goes beyond 1 to 8 388 608.
    pub fn sizes(mut self, sizes: RangeInclusive<u32>) -> Result<Self, InvalidHashing> {
        let (least, most) = (*sizes.start(), *sizes.end());
        if least == 0 || least > most || most > LARGEST {
            return Err(InvalidHashing::RingSize { sizes, most: LARGEST });
        }
        (self.placement.least, self.placement.most) = (least, most);
        Ok(self)
    }
}

/// The settings of [`Ring`].
#[derive(Clone, Copy, Debug)]
pub struct RingPlacement {
    points: u32,
    least: u32,
    most: u32,
}

impl Default for RingPlacement {
    fn default() -> Self {
        Self { points: 160, least: 1024, most: LARGEST }
    }
}

/// How many of those asked a walk remembers. A pool of ten is then asked little more than once each; in large ones
/// hardly anybody comes twice.
const REMEMBERED: usize = 8;

impl RingPlacement {
    /// How many points a member of mean weight has on a ring of `members`.
    fn points_of(&self, members: u64) -> u64 {
        let mut points = u64::from(self.points);
        while points * members < u64::from(self.least) {
            points *= 2;
        }
        while points > 1 && points * members > u64::from(self.most) {
            points /= 2;
        }
        points
    }
}

impl Sealed for RingPlacement {}

impl KeyPlacement for RingPlacement {
    type Table = RingTable;

    fn build_table(&self, members: &HashMembers) -> Result<RingTable, BuildError> {
        let number = members.len() as u64;
        if number == 0 {
            return Ok(RingTable { points: Box::default(), starts: Box::default(), shift: 0 });
        }
        let whole = u128::from(self.points_of(number) * number);
        let total = u128::from(members.weight());
        // Rounded to the nearest; everybody has one.
        let share = |weight: u32| ((whole * u128::from(weight) * 2 + total) / (total * 2)).max(1) as u64;
        let count = members.entries().iter().map(|entry| share(entry.weight) as usize).sum();
        // Drawn twice rather than kept: that takes less than to write them down and to read them again.
        let points = || {
            members.entries().iter().enumerate().flat_map(|(at, entry)| {
                let places = std::iter::successors(Some(entry.hash.wrapping_add(GAMMA)), |state| {
                    Some(state.wrapping_add(GAMMA))
                });
                places.take(share(entry.weight) as usize).map(move |state| mix(state) >> 32 << 32 | at as u64)
            })
        };
        let mut table = RingTable::sorted(count, points);
        // Points in the same place are in the order of the roster, which all balancers share; slots are this pool's own.
        for point in &mut table.points {
            let slot = members.entries().get(*point as u32 as usize).map_or(0, |entry| entry.slot.0);
            *point = *point >> 32 << 32 | u64::from(slot);
        }
        Ok(table)
    }
}

/// The layout of [`Ring`].
pub struct RingTable {
    /// Where it is on the circle above, whose it is below; in order.
    points: Box<[u64]>,
    /// For equal parts of the circle, the first point that is not before the part.
    starts: Box<[u32]>,
    /// By how many bits a place on the circle is finer than the number of its part.
    shift: u32,
}

impl RingTable {
    /// Sorts by counting into the parts that `starts` is about, which hold two to four points each, and then within them.
    fn sorted<I: Iterator<Item = u64>>(count: usize, points: impl Fn() -> I) -> Self {
        let bits = count.max(1).ilog2().saturating_sub(1).clamp(1, 31);
        let shift = 32 - bits;
        let part = |point: u64| (point >> 32 >> shift) as usize;
        let mut ends = vec![0u32; 1 << bits];
        points().for_each(|point| ends[part(point)] += 1);
        let mut sum = 0;
        for end in &mut ends {
            sum += *end;
            *end = sum;
        }
        // From the back of each part, so that each end comes down to its part's start.
        let mut sorted = vec![0; count];
        points().for_each(|point| {
            let end = &mut ends[part(point)];
            *end -= 1;
            sorted[*end as usize] = point;
        });
        // Insertion: nothing is further from its place than its part is long.
        for at in 1..sorted.len() {
            let (point, mut to) = (sorted[at], at);
            while to > 0 && sorted[to - 1] > point {
                sorted[to] = sorted[to - 1];
                to -= 1;
            }
            sorted[to] = point;
        }
        Self { points: sorted.into(), starts: ends.into(), shift }
    }

    /// The first point at or after the place, or the end.
    #[inline]
    fn seek(&self, place: u32) -> usize {
        let mut at = self.starts.get((place >> self.shift) as usize).map_or(0, |&start| start as usize);
        while self.points.get(at).is_some_and(|&point| ((point >> 32) as u32) < place) {
            at += 1;
        }
        at
    }
}

impl Table for RingTable {
    /// Walks on from point to point, once around, past the points of those who have just been asked.
    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let mut at = self.seek((hash >> 32) as u32);
        let mut left = self.points.len();
        // Nobody lives in the last slot of all: a pool's endpoints are numbered by one less than a u32 can count.
        let (mut asked, mut turn) = ([u32::MAX; REMEMBERED], 0);
        std::iter::from_fn(move || {
            while left > 0 {
                let point = self.points.get(at).or_else(|| {
                    at = 0;
                    self.points.first()
                });
                let slot = *point? as u32;
                (at, left) = (at + 1, left - 1);
                if turn == 0 || !asked.contains(&slot) {
                    asked[turn % REMEMBERED] = slot;
                    turn += 1;
                    return Some(Slot(slot));
                }
            }
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(placement: RingPlacement, members: &[(&str, u32)]) -> RingTable {
        placement.build_table(&HashMembers::of::<RingTable>(members)).expect("a ring")
    }

    fn counts(table: &RingTable, n: usize) -> Vec<usize> {
        let mut counts = vec![0; n];
        table.points.iter().for_each(|&point| counts[point as u32 as usize] += 1);
        counts
    }

    #[test]
    fn a_key_belongs_to_the_first_point_at_or_after_it() {
        let names: Vec<String> = (0..20).map(|at| format!("e{at}")).collect();
        let members: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        let table = ring(RingPlacement::default(), &members);
        assert!(table.points.is_sorted_by_key(|point| point >> 32));
        let places = (0..50_000u64).map(|key| (mix(key) >> 32) as u32);
        for place in places.chain([0, u32::MAX]).chain(table.points.iter().map(|point| (point >> 32) as u32)) {
            let expected = table.points.partition_point(|&point| ((point >> 32) as u32) < place);
            assert_eq!(table.seek(place), expected, "{place}");
        }
    }

    #[test]
    fn points_follow_the_weights_and_the_limits() {
        let default = RingPlacement::default();
        let counted = |placement, weights: &[u32]| {
            let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let members: Vec<(&str, u32)> = names.into_iter().zip(weights.iter().copied()).collect();
            counts(&ring(placement, &members), weights.len())
        };
        assert_eq!(counted(default, &[7; 8]), [160; 8]);
        assert_eq!(counted(default, &[1, 1, 1, 1, 1, 1, 1, 9]), [80, 80, 80, 80, 80, 80, 80, 720]);
        assert_eq!(counted(default, &[1; 3]), [640; 3]);
        assert_eq!(counted(default, &[1_000_000, 1]), [1280, 1]);
        assert_eq!(counted(RingPlacement { most: 100, least: 1, ..default }, &[1; 8]), [10; 8]);
        assert_eq!(counted(RingPlacement { most: 4, least: 1, ..default }, &[1; 8]), [1; 8]);
    }
}
