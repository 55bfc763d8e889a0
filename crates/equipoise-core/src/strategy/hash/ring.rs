use std::ops::RangeInclusive;

use super::{HashMembers, InvalidHashing, KeyPlacement, Keyed, Table, keyed::sealed::Sealed};
use crate::{
    endpoint::Slot,
    entropy::{GAMMA, mix},
    strategy::{BuildError, Random},
};

/// A hash ring (consistent hashing): each endpoint has many points on a circle. The hash of a key is a position on this
/// circle, and the key goes to the endpoint of the next point.
///
/// Choose it if as few keys as possible may move: when an endpoint is added or removed, only keys that this endpoint
/// gains or loses move. Weakness: the shares of the endpoints are not exact. Their standard deviation is about 1 /
/// √points, relative to the exact share. With the default of 160 points per endpoint, it is 8 %. The busiest of a
/// hundred endpoints then gets about a fifth more than its exact share. [`Maglev`](super::Maglev) has even shares and
/// needs less memory. [`BoundedLoad`](super::BoundedLoad) around the ring limits the load of the busiest endpoints.
///
/// The number of points of an endpoint is [`points`](Self::points) × weight / mean weight. If weights are unequal, a
/// change of the mean weight therefore adds or removes a few points of every endpoint. If the endpoint of a key cannot
/// be picked, the key goes to the next point whose endpoint can be picked.
///
/// A pick takes O(1) time, because an index narrows the search to a few points. The ring is built only when the
/// membership changes. This takes time proportional to the number of points. A point takes 9 to 10 bytes. Sources:
/// Karger and others, *Consistent Hashing and Random Trees*, 1997; the default number of points is that of ketama.
/// [`Keyed`] describes what all hashing strategies have in common.
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

/// The largest number of points on a ring, as in Envoy. This is about 80 MB.
const LARGEST: u32 = 8_388_608;

impl<F> Ring<F> {
    /// Sets the number of points on the hash ring for an endpoint of mean weight. The other endpoints have points in
    /// proportion to their weights. Minimum: 1; 0 is an error. Default: 160.
    ///
    /// # Errors
    ///
    /// [`InvalidHashing::Points`] if `points` is 0.
    pub fn points(mut self, points: u32) -> Result<Self, InvalidHashing> {
        if points == 0 {
            return Err(InvalidHashing::Points);
        }
        self.placement.points = points;
        Ok(self)
    }

    /// Sets the minimum and the maximum of the total number of points on the hash ring. Range of both: 1 to 8 388 608.
    /// Default: a minimum of 1024 and a maximum of 8 388 608.
    ///
    /// If the total would be below the minimum, the number of [points](Self::points) per endpoint is doubled until the
    /// total is large enough. If the total would be above the maximum, the number of points per endpoint is halved
    /// until the total is small enough, or until each endpoint has only one point. Because of these large steps, the
    /// number changes rarely. Each change of the number moves keys between endpoints that stay in the pool.
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
    /// [`InvalidHashing::RingSize`] if `sizes` is empty, contains 0, or contains numbers above 8 388 608.
    pub fn sizes(mut self, sizes: RangeInclusive<u32>) -> Result<Self, InvalidHashing> {
        let (least, most) = (*sizes.start(), *sizes.end());
        if least == 0 || least > most || most > LARGEST {
            return Err(InvalidHashing::RingSize { sizes, most: LARGEST });
        }
        (self.placement.least, self.placement.most) = (least, most);
        Ok(self)
    }
}

/// The algorithm of the hash ring ([`Ring`]), and its settings: the number of points per endpoint, and the range of the
/// total number of points.
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

/// The number of recently returned members that the candidates skip. In a pool of ten members, each is then returned
/// little more than once. In large pools, repetitions are rare.
const REMEMBERED: usize = 8;

impl RingPlacement {
    /// Returns the number of points of a member of mean weight, on a ring with `members` members.
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
        // Rounded to the nearest number, and at least one.
        let share = |weight: u32| ((whole * u128::from(weight) * 2 + total) / (total * 2)).max(1) as u64;
        let count = members.entries().iter().map(|entry| share(entry.weight) as usize).sum();
        // The points are computed twice, because this is faster than storing and reading them.
        let points = || {
            members.entries().iter().enumerate().flat_map(|(at, entry)| {
                let places = std::iter::successors(Some(entry.hash.wrapping_add(GAMMA)), |state| {
                    Some(state.wrapping_add(GAMMA))
                });
                places.take(share(entry.weight) as usize).map(move |state| mix(state) >> 32 << 32 | at as u64)
            })
        };
        let mut table = RingTable::sorted(count, points);
        // The points are sorted with the member's index, which is the same in all balancers. Slots differ between
        // balancers.
        for point in &mut table.points {
            let slot = members.entries().get(*point as u32 as usize).map_or(0, |entry| entry.slot.0);
            *point = *point >> 32 << 32 | u64::from(slot);
        }
        Ok(table)
    }
}

/// The table of the hash ring [`Ring`]. It maps the hash of a key to an endpoint.
pub struct RingTable {
    /// The points, sorted. The upper half of each is its position on the circle, the lower half is the slot of the
    /// member.
    points: Box<[u64]>,
    /// The circle is divided into equal parts. This is the index of the first point that is not before each part.
    starts: Box<[u32]>,
    /// The part of a position is `position >> shift`.
    shift: u32,
}

impl RingTable {
    /// Sorts the points by counting into the parts of `starts`, which have two to four points each, and then by
    /// insertion within the parts.
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
        // Each part is filled from its end, so that `ends` becomes the starts.
        let mut sorted = vec![0; count];
        points().for_each(|point| {
            let end = &mut ends[part(point)];
            *end -= 1;
            sorted[*end as usize] = point;
        });
        // Insertion sort: no point is further from its sorted position than the length of its part.
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

    /// Returns the index of the first point at or after the position `place`, or the number of points if there is none.
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
    /// Returns the members of the points once around the ring. Skips members that were returned recently.
    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = Slot> {
        let mut at = self.seek((hash >> 32) as u32);
        let mut left = self.points.len();
        // No endpoint has the slot `u32::MAX`.
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
