//! The order of turns: which endpoint a pick number belongs to.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use crate::{endpoint::Slot, entropy::GAMMA};

/// The longest turn that is laid out.
pub(super) const LONGEST_TURN: u64 = 1 << 16;

/// Credits are counted in this fraction of nginx's units, so that little is lost when they pass on to another total.
const FINE: i64 = 1 << 10;

pub(super) enum Schedule {
    /// One turn, again and again.
    LaidOut(Turn),
    /// Cumulative weights, walked by a Weyl sequence in the golden ratio.
    Spread { slots: Arc<[Slot]>, bounds: Box<[u64]> },
}

/// Each endpoint as often as its weight. It ends with the credits that it began with.
pub(super) struct Turn {
    order: Box<[Slot]>,
    classes: Box<[Class]>,
    total: i64,
}

/// Endpoints of one weight.
struct Class {
    weight: i64,
    /// With what each is owed at the first ticket, the one to be served next in front. It grows by the weight each round and
    /// falls by the total when served.
    ///
    /// All gain the same, and the one just served is then owed least, so this order never changes.
    queue: Vec<(i64, Slot)>,
}

impl Schedule {
    /// The schedule for these endpoints, in the order of their slots, going on from where `last` stood after so many
    /// tickets.
    pub(super) fn new(slots: &Arc<[Slot]>, weights: &[u32], last: Option<(&Self, u64)>) -> Self {
        let mut classes = classes(slots, weights);
        let divisor = classes.iter().fold(0, |a, class| gcd(a, class.weight as u32)).max(1);
        classes.iter_mut().for_each(|class| class.weight /= i64::from(divisor));
        let length: i64 = classes.iter().map(|class| class.weight * class.queue.len() as i64).sum();
        if classes.len() > 1 && length as u64 > LONGEST_TURN {
            return Self::spread(slots, weights);
        }
        classes.iter_mut().for_each(|class| class.weight *= FINE);
        let total = length * FINE;
        if let Some((Self::LaidOut(last), served)) = last {
            last.hand_over(served, &mut classes, total);
        }
        Self::LaidOut(Turn { order: smooth(&classes, total), classes: classes.into(), total })
    }

    /// The sequence over weights whose turn is too long to lay out.
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
    /// Tells `classes`, which have nothing yet, what their members are owed once `served` tickets are gone.
    fn hand_over(&self, served: u64, classes: &mut [Class], total: i64) {
        let Some(served) = served.checked_rem(self.order.len() as u64) else { return };
        let owed = self.owed_after(served as usize);
        // A request is worth the total, which may be another one now.
        let worth = total as f64 / self.total as f64;
        for Class { queue, .. } in classes {
            for (credit, slot) in &mut *queue {
                *credit = owed.get(slot.index()).map_or(0, |&owed| (owed as f64 * worth) as i64);
            }
            queue.sort_by_key(|&(credit, _)| Reverse(credit));
            // No endpoint is further behind than one that was just served; a membership change may have left it so.
            let least = queue.first().map_or(0, |&(most, _)| most - total);
            queue.iter_mut().for_each(|(credit, _)| *credit = least.max(*credit));
        }
    }

    /// What each endpoint is owed after so many tickets of the turn, by slot, compared with the average: so a newcomer, with
    /// nothing, is neither ahead nor behind.
    fn owed_after(&self, served: usize) -> Vec<i64> {
        let credits = || self.classes.iter().flat_map(|class| &class.queue);
        let (sum, count, last) = credits()
            .fold((0, 0, 0), |(sum, count, last), &(credit, slot)| (sum + credit, count + 1, last.max(slot.index())));
        let mean = sum / count.max(1);
        let mut owed = vec![0; last + 1];
        for Class { weight, queue } in &self.classes {
            let gained = weight * served as i64 - mean;
            queue.iter().for_each(|&(credit, slot)| owed[slot.index()] = credit + gained);
        }
        for slot in &self.order[..served] {
            owed[slot.index()] -= self.total;
        }
        owed
    }
}

pub(super) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn classes(slots: &[Slot], weights: &[u32]) -> Vec<Class> {
    let mut queues: BTreeMap<u32, Vec<(i64, Slot)>> = BTreeMap::new();
    for (&slot, &weight) in slots.iter().zip(weights) {
        queues.entry(weight).or_default().push((0, slot));
    }
    queues.into_iter().map(|(weight, queue)| Class { weight: i64::from(weight), queue }).collect()
}

/// One turn of nginx's smooth weighted round robin: in each round all are credited their weight, and the one that is
/// owed most (the first of equals) is served and debited the total. Only the fronts of the classes can be that one.
///
/// No endpoint is served more often than its weight, so the turn ends as it began. This holds also after a membership
/// change, whose credits nginx would even out over several turns.
fn smooth(classes: &[Class], total: i64) -> Box<[Slot]> {
    let mut order = Vec::with_capacity((total / FINE) as usize);
    let mut contenders: Vec<Contender<'_>> = classes.iter().filter_map(Contender::new).collect();
    let pace = classes.iter().map(|class| class.weight).max().unwrap_or(0);
    while !contenders.is_empty() {
        let (mut best, mut most, mut rival) = (0, (i64::MIN, Reverse(Slot(0))), i64::MIN);
        for (at, contender) in contenders.iter().enumerate() {
            let claim = (contender.owed, Reverse(contender.front));
            if claim > most {
                (best, most, rival) = (at, claim, most.0);
            } else {
                rival = rival.max(claim.0);
            }
        }
        let mut contender = contenders.swap_remove(best);
        let rounds = contender.serve(&mut order, rival, pace, total);
        contenders.iter_mut().for_each(|other| other.owed += other.class.weight * rounds);
        if contender.left > 0 {
            contenders.push(contender);
        }
    }
    order.into()
}

/// A class that takes part in a turn.
struct Contender<'a> {
    class: &'a Class,
    /// The endpoint that is next, and what it is owed.
    next: usize,
    front: Slot,
    owed: i64,
    /// How often the class is yet to be served.
    left: i64,
}

impl<'a> Contender<'a> {
    fn new(class: &'a Class) -> Option<Self> {
        let &(owed, front) = class.queue.first()?;
        let left = class.weight / FINE * class.queue.len() as i64;
        (left > 0).then_some(Self { class, next: 0, front, owed: owed + class.weight, left })
    }

    /// Serves as long as nobody else can be owed more: `rival` is what any other is owed at most, `pace` what they gain a
    /// round at most. Returns how many rounds that took.
    fn serve(&mut self, order: &mut Vec<Slot>, mut rival: i64, pace: i64, total: i64) -> i64 {
        let Class { weight, queue } = self.class;
        let before = order.len();
        loop {
            order.push(self.front);
            self.left -= 1;
            let (served, _) = queue[self.next];
            self.next += 1;
            if self.next == queue.len() {
                self.next = 0;
                self.owed -= total;
            }
            let (credit, slot) = queue[self.next];
            self.front = slot;
            self.owed += weight + credit - served;
            rival = rival.saturating_add(pace);
            if self.left == 0 || self.owed <= rival {
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

    /// nginx's own arithmetic, naively.
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
    fn a_rebuild_after_every_ticket_starves_nobody() {
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
    fn a_leaver_s_turns_go_to_the_others_by_weight() {
        let all = Schedule::new(&slots(3), &[1, 2, 3], None);
        for served in 0..12 {
            let left: Arc<[Slot]> = [Slot(0), Slot(1)].into();
            let next = Schedule::new(&left, &[1, 2], Some((&all, served)));
            let order = take(&next, 0, 300);
            let first = order.iter().filter(|&&slot| slot == 0).count();
            assert!((98..=102).contains(&first), "{first} of 300 after {served}");
        }
    }

    /// Memberships that follow one another, each after some tickets of the one before.
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
    fn a_turn_gives_everybody_their_weight_whatever_they_were_owed() {
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
        // The longest wait for a turn, in periods: 1 is as even as can be.
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
