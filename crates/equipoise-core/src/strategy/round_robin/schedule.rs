//! The order of turns in round robin: which endpoint each pick number belongs to.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use crate::{endpoint::Slot, entropy::GAMMA, strategy::gcd};

/// The maximum length of a turn that is laid out as a table.
pub(super) const LONGEST_TURN: u64 = 1 << 16;

/// The number of units of credit for one unit of weight. nginx has 1. With more, little is lost by rounding when
/// credits are converted to another total.
const CREDIT_UNIT: i64 = 1 << 10;

pub(super) enum Schedule {
    /// A table of one turn, which is repeated.
    LaidOut(Turn),
    /// A turn that is too long for a table: the cumulative weights, in which a Weyl sequence with the golden ratio
    /// finds the endpoint of a number.
    Spread { slots: Arc<[Slot]>, bounds: Box<[u64]> },
}

/// One turn: each endpoint occurs as often as its weight says. At its end, all credits are as at its beginning.
pub(super) struct Turn {
    order: Box<[Slot]>,
    classes: Box<[Class]>,
    total: i64,
}

/// The endpoints of one weight.
struct Class {
    weight: i64,
    /// The credit of each endpoint at the start of the cycle, and its slot. The endpoint with the next turn is first. A
    /// credit grows by the weight in each round, and falls by the total when the endpoint has a turn.
    ///
    /// All credits grow by the same amount, and the endpoint that had the last turn has the lowest credit. The order
    /// therefore never changes.
    queue: Vec<(i64, Slot)>,
}

impl Schedule {
    /// Creates the schedule for these endpoints, which are in the order of their slots. `last` is the last schedule and
    /// the number of picks that it has served. The new schedule continues from there.
    pub(super) fn new(slots: &Arc<[Slot]>, weights: &[u32], last: Option<(&Self, u64)>) -> Self {
        let mut classes = classes(slots, weights);
        let divisor = classes.iter().fold(0, |a, class| gcd(a, class.weight as u32)).max(1);
        classes.iter_mut().for_each(|class| class.weight /= i64::from(divisor));
        let length: i64 = classes.iter().map(|class| class.weight * class.queue.len() as i64).sum();
        if classes.len() > 1 && length as u64 > LONGEST_TURN {
            return Self::spread(slots, weights);
        }
        classes.iter_mut().for_each(|class| class.weight *= CREDIT_UNIT);
        let total = length * CREDIT_UNIT;
        if let Some((Self::LaidOut(last), served)) = last {
            last.pass_credits(served, &mut classes, total);
        }
        Self::LaidOut(Turn { order: smooth(&classes, total), classes: classes.into(), total })
    }

    /// Creates the sequence over the weights, for cycles that are too long to compute.
    pub(super) fn spread(slots: &Arc<[Slot]>, weights: &[u32]) -> Self {
        let mut sum = 0;
        let bounds = weights.iter().map(|&weight| {
            sum += u64::from(weight);
            sum
        });
        Self::Spread { slots: Arc::clone(slots), bounds: bounds.collect() }
    }

    pub(super) fn is_laid_out(&self) -> bool {
        matches!(self, Self::LaidOut(_))
    }

    #[inline]
    pub(super) fn at(&self, ticket: u64) -> Option<Slot> {
        match self {
            Self::LaidOut(Turn { order, .. }) => order.get(ticket.checked_rem(order.len() as u64)? as usize).copied(),
            Self::Spread { slots, bounds } => {
                let total = *bounds.last()?;
                let point = (u128::from(ticket.wrapping_mul(GAMMA)) * u128::from(total)) >> 64;
                slots.get(bounds.partition_point(|&bound| u128::from(bound) <= point)).copied()
            }
        }
    }
}

impl Turn {
    /// Gives the members of `classes`, which have no credits yet, the credits that they have here after `served` picks.
    fn pass_credits(&self, served: u64, classes: &mut [Class], total: i64) {
        let Some(served) = served.checked_rem(self.order.len() as u64) else { return };
        let credits = self.credits_after(served as usize);
        // A served request costs the total, which may be another one now.
        let scale = total as f64 / self.total as f64;
        for Class { queue, .. } in classes {
            for (credit, slot) in &mut *queue {
                *credit = credits.get(slot.index()).map_or(0, |&credit| (credit as f64 * scale) as i64);
            }
            queue.sort_by_key(|&(credit, _)| Reverse(credit));
            // No endpoint is further behind than an endpoint that just had a turn. Without this, a membership change
            // could leave one further behind.
            let least = queue.first().map_or(0, |&(most, _)| most - total);
            queue.iter_mut().for_each(|(credit, _)| *credit = least.max(*credit));
        }
    }

    /// Returns the credits after `served` picks of the turn, by slot, less the mean credit. A new endpoint starts with
    /// 0. It is therefore served neither earlier nor later than the others on average.
    fn credits_after(&self, served: usize) -> Vec<i64> {
        let credits = || self.classes.iter().flat_map(|class| &class.queue);
        let (sum, count, last) = credits()
            .fold((0, 0, 0), |(sum, count, last), &(credit, slot)| (sum + credit, count + 1, last.max(slot.index())));
        let mean = sum / count.max(1);
        let mut after = vec![0; last + 1];
        for Class { weight, queue } in &self.classes {
            let gained = weight * served as i64 - mean;
            queue.iter().for_each(|&(credit, slot)| after[slot.index()] = credit + gained);
        }
        for slot in &self.order[..served] {
            after[slot.index()] -= self.total;
        }
        after
    }
}

fn classes(slots: &[Slot], weights: &[u32]) -> Vec<Class> {
    let mut queues: BTreeMap<u32, Vec<(i64, Slot)>> = BTreeMap::new();
    for (&slot, &weight) in slots.iter().zip(weights) {
        queues.entry(weight).or_default().push((0, slot));
    }
    queues.into_iter().map(|(weight, queue)| Class { weight: i64::from(weight), queue }).collect()
}

/// Computes one cycle of nginx's smooth weighted round robin. In each round, the credit of each endpoint grows by its
/// weight. The endpoint with the highest credit has a turn (the first one if several have it), and its credit falls by
/// the total. Only the first endpoint of each class can have the highest credit.
///
/// No endpoint has more turns than its weight, so the credits after the cycle are those before it. This also holds
/// after a membership change. nginx would distribute the credits after such a change over several cycles.
fn smooth(classes: &[Class], total: i64) -> Box<[Slot]> {
    let mut order = Vec::with_capacity((total / CREDIT_UNIT) as usize);
    let mut contenders: Vec<Contender<'_>> = classes.iter().filter_map(Contender::new).collect();
    let heaviest = classes.iter().map(|class| class.weight).max().unwrap_or(0);
    while !contenders.is_empty() {
        let (mut best, mut highest, mut second) = (0, (i64::MIN, Reverse(Slot(0))), i64::MIN);
        for (at, contender) in contenders.iter().enumerate() {
            let rank = (contender.credit, Reverse(contender.first));
            if rank > highest {
                (best, highest, second) = (at, rank, highest.0);
            } else {
                second = second.max(rank.0);
            }
        }
        let mut contender = contenders.swap_remove(best);
        let rounds = contender.serve(&mut order, second, heaviest, total);
        contenders.iter_mut().for_each(|other| other.credit += other.class.weight * rounds);
        if contender.left > 0 {
            contenders.push(contender);
        }
    }
    order.into()
}

/// A class while a turn is computed.
struct Contender<'a> {
    class: &'a Class,
    /// The position in the queue of the endpoint to serve next.
    next: usize,
    /// The slot of that endpoint.
    first: Slot,
    /// The credit of that endpoint.
    credit: i64,
    /// How many more times endpoints of the class are served in this turn.
    left: i64,
}

impl<'a> Contender<'a> {
    fn new(class: &'a Class) -> Option<Self> {
        let &(credit, first) = class.queue.first()?;
        let left = class.weight / CREDIT_UNIT * class.queue.len() as i64;
        (left > 0).then_some(Self { class, next: 0, first, credit: credit + class.weight, left })
    }

    /// Serves endpoints of this class for as long as no other class can have a higher credit. `second` is the highest
    /// credit of another class, which grows by at most `heaviest` in each round. Returns the number of rounds.
    fn serve(&mut self, order: &mut Vec<Slot>, mut second: i64, heaviest: i64, total: i64) -> i64 {
        let Class { weight, queue } = self.class;
        let before = order.len();
        loop {
            order.push(self.first);
            self.left -= 1;
            let (served, _) = queue[self.next];
            self.next += 1;
            if self.next == queue.len() {
                self.next = 0;
                self.credit -= total;
            }
            let (credit, slot) = queue[self.next];
            self.first = slot;
            self.credit += weight + credit - served;
            second = second.saturating_add(heaviest);
            if self.left == 0 || self.credit <= second {
                return (order.len() - before) as i64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::mix;

    fn slots(n: u32) -> Arc<[Slot]> {
        (0..n).map(Slot).collect()
    }

    fn take(schedule: &Schedule, from: u64, n: u64) -> Vec<u32> {
        (from..from + n).map(|ticket| schedule.at(ticket).expect("not empty").0).collect()
    }

    /// The picks of nginx's algorithm, computed as nginx does.
    fn nginx(weights: &[u32], rounds: usize) -> Vec<u32> {
        let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
        let mut current = vec![0; weights.len()];
        (0..rounds)
            .map(|_| {
                let mut best = 0;
                for at in 0..weights.len() {
                    current[at] += i64::from(weights[at]);
                    if current[at] > current[best] {
                        best = at;
                    }
                }
                current[best] -= total;
                best as u32
            })
            .collect()
    }

    #[test]
    fn a_turn_is_nginx_s() {
        for weights in [vec![5, 1, 1], vec![1, 2, 3], vec![4, 4, 2, 7], vec![10, 1], vec![3, 3, 3], vec![6, 2, 2, 6]] {
            let schedule = Schedule::new(&slots(weights.len() as u32), &weights, None);
            assert_eq!(take(&schedule, 0, 60), nginx(&weights, 60), "{weights:?}");
        }
    }

    #[test]
    fn a_rebuild_goes_on_where_the_turn_stood() {
        for weights in [vec![5, 1, 1], vec![1, 1, 1, 1], vec![4, 4, 2, 7]] {
            let slots = slots(weights.len() as u32);
            let schedule = Schedule::new(&slots, &weights, None);
            for served in 0..40 {
                let next = Schedule::new(&slots, &weights, Some((&schedule, served)));
                assert_eq!(take(&next, 0, 40), take(&schedule, served, 40), "{weights:?} after {served}");
            }
        }
    }

    #[test]
    fn a_rebuild_after_every_pick_starves_no_endpoint() {
        for weights in [vec![1, 1, 1], vec![5, 1, 1], vec![2, 3, 4]] {
            let slots = slots(3);
            let total: u32 = weights.iter().sum();
            let mut schedule = Schedule::new(&slots, &weights, None);
            let mut served = vec![0; 3];
            for _ in 0..total * 100 {
                served[schedule.at(0).expect("not empty").index()] += 1;
                schedule = Schedule::new(&slots, &weights, Some((&schedule, 1)));
            }
            let expected: Vec<u32> = weights.iter().map(|weight| weight * 100).collect();
            assert_eq!(served, expected);
        }
    }

    #[test]
    fn the_turns_of_a_removed_endpoint_go_to_the_others_by_weight() {
        let all = Schedule::new(&slots(3), &[1, 2, 3], None);
        for served in 0..12 {
            let left: Arc<[Slot]> = [Slot(0), Slot(1)].into();
            let next = Schedule::new(&left, &[1, 2], Some((&all, served)));
            let order = take(&next, 0, 300);
            let first = order.iter().filter(|&&slot| slot == 0).count();
            assert!((98..=102).contains(&first), "{first} of 300 after {served}");
        }
    }

    /// Calls `check` with the schedules of successive memberships, each after some picks from the one before.
    fn changes(seed: u64, mut check: impl FnMut(&Schedule, &[u32], &[u32])) {
        let mut state = seed;
        let mut below = |n: u64| {
            state = state.wrapping_add(GAMMA);
            mix(state) % n
        };
        let mut last: Option<Schedule> = None;
        for _ in 0..500 {
            let (most, heaviest) = (1 + below(20), 1 + below(9));
            let members: Vec<u32> = (0..most as u32).filter(|_| below(3) > 0).collect();
            let weights: Vec<u32> = members.iter().map(|_| 1 + below(heaviest) as u32).collect();
            let slots: Arc<[Slot]> = members.iter().copied().map(Slot).collect();
            let next = Schedule::new(&slots, &weights, last.as_ref().map(|last| (last, below(100))));
            check(&next, &members, &weights);
            last = Some(next);
        }
    }

    #[test]
    fn a_turn_serves_each_endpoint_by_its_weight_whatever_its_credit() {
        changes(11, |schedule, members, weights| {
            let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
            let total: u32 = weights.iter().map(|weight| weight / divisor).sum();
            let turn = take(schedule, 0, u64::from(total));
            for (member, weight) in members.iter().zip(weights) {
                let served = turn.iter().filter(|slot| *slot == member).count();
                assert_eq!(served, (weight / divisor) as usize, "{member} of {members:?}, {weights:?}: {turn:?}");
            }
        });
    }

    #[test]
    fn a_changed_membership_s_turn_is_nearly_as_even() {
        // The longest time between two picks of an endpoint, in periods. 1 is the best possible.
        let worst = |schedule: &Schedule, members: &[u32], weights: &[u32]| {
            let total: u32 = weights.iter().sum();
            let order = take(schedule, 0, u64::from(total) * 3);
            let gap = |(member, weight): (&u32, &u32)| {
                let places: Vec<usize> = (0..order.len()).filter(|&at| order[at] == *member).collect();
                let longest = places.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
                longest as f64 * f64::from(*weight) / f64::from(total)
            };
            members.iter().zip(weights).map(gap).fold(0.0, f64::max)
        };
        changes(12, |schedule, members, weights| {
            let slots: Arc<[Slot]> = members.iter().copied().map(Slot).collect();
            let (changed, fresh) =
                (worst(schedule, members, weights), worst(&Schedule::new(&slots, weights, None), members, weights));
            assert!(changed < fresh + 1.0, "{changed} periods instead of {fresh}: {members:?}, {weights:?}");
        });
    }

    #[test]
    fn huge_weights_cost_no_memory_and_keep_their_shares() {
        let weights = [999_983, 1, 500_009];
        let schedule = Schedule::new(&slots(3), &weights, None);
        assert!(!schedule.is_laid_out());
        let n = 300_000;
        let first = take(&schedule, 0, n).iter().filter(|&&slot| slot == 0).count() as f64;
        assert!((first / n as f64 - 999_983.0 / 1_499_993.0).abs() < 1e-4);
    }
}
