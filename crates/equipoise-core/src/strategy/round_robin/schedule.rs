//! Who is served by which ticket.

use std::{cmp::Reverse, collections::VecDeque, sync::Arc};

use crate::{endpoint::Slot, entropy::GAMMA};

/// The longest turn that is laid out.
pub(super) const LONGEST_TURN: u64 = 1 << 16;

pub(super) enum Schedule {
    /// `lead` once, then `turn` again and again.
    LaidOut(Turns),
    /// Cumulative weights, walked by a Weyl sequence in the golden ratio.
    Spread { slots: Arc<[Slot]>, bounds: Box<[u64]> },
}

pub(super) struct Turns {
    /// What leads from the inherited position into the turn; empty when the position was in it.
    lead: Box<[Slot]>,
    turn: Box<[Slot]>,
    /// Who was owed how much at the first ticket.
    credits: Credits,
    /// By position in `credits`.
    weights: Box<[u32]>,
    total: i64,
}

/// What each endpoint is owed, in nginx's units: it grows by the weight each round and falls by the total when served.
type Credits = Box<[(Slot, i64)]>;

impl Schedule {
    /// The schedule for these endpoints, going on from where `last` stood after so many tickets.
    pub(super) fn new(slots: &Arc<[Slot]>, weights: &[u32], last: Option<(&Self, u64)>) -> Self {
        let divisor = weights.iter().fold(0, |a, &b| gcd(a, b)).max(1);
        let weights: Box<[u32]> = weights.iter().map(|weight| weight / divisor).collect();
        let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let equal = weights.iter().all(|&weight| weight == 1);
        if !equal && total > LONGEST_TURN {
            return Self::spread(slots, &weights);
        }
        let owed = last.and_then(|(last, served)| last.credits_after(served)).unwrap_or_default();
        let total = total as i64;
        let credits: Vec<i64> =
            slots.iter().map(|slot| owed.get(slot.index()).map_or(0, |owed| (*owed).clamp(-total, total))).collect();
        let (lead, turn) = if equal { (Vec::new(), in_order(&credits)) } else { settle(&weights, &credits) };
        let name = |order: Vec<u32>| order.into_iter().map(|at| slots[at as usize]).collect();
        let credits = slots.iter().copied().zip(credits).collect();
        Self::LaidOut(Turns { lead: name(lead), turn: name(turn), credits, weights, total })
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
            Self::LaidOut(turns) => turns.at(ticket),
            Self::Spread { slots, bounds } => {
                let total = *bounds.last()?;
                let point = (u128::from(ticket.wrapping_mul(GAMMA)) * u128::from(total)) >> 64;
                slots.get(bounds.partition_point(|&bound| u128::from(bound) <= point)).copied()
            }
        }
    }

    /// What everybody is owed once `served` tickets are gone, by slot, in units of this schedule's weights.
    fn credits_after(&self, served: u64) -> Option<Vec<i64>> {
        let Self::LaidOut(turns) = self else { return None };
        // A turn ends where it began, so only what is left over counts.
        let lead = turns.lead.len() as u64;
        let left = served.saturating_sub(lead).checked_rem(turns.turn.len() as u64)?;
        let (lead, turn) = (&turns.lead[..served.min(lead) as usize], &turns.turn[..left as usize]);
        let rounds = (lead.len() + turn.len()) as i64;
        let capacity = turns.credits.iter().map(|(slot, _)| slot.index() + 1).max()?;
        let mut credits = vec![0; capacity];
        for (&(slot, credit), &weight) in turns.credits.iter().zip(&turns.weights) {
            credits[slot.index()] = credit + i64::from(weight) * rounds;
        }
        for slot in lead.iter().chain(turn) {
            credits[slot.index()] -= turns.total;
        }
        Some(credits)
    }
}

impl Turns {
    #[inline]
    fn at(&self, ticket: u64) -> Option<Slot> {
        let lead = self.lead.len() as u64;
        if ticket < lead {
            return self.lead.get(ticket as usize).copied();
        }
        self.turn.get(((ticket - lead).checked_rem(self.turn.len() as u64)?) as usize).copied()
    }
}

pub(super) fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The turn of endpoints of equal weight: those who are owed more first, else as they stand.
fn in_order(credits: &[i64]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..credits.len() as u32).collect();
    order.sort_by_key(|&at| Reverse(credits[at as usize]));
    order
}

/// A turn that begins with these credits and ends with the same, and what leads to it.
fn settle(weights: &[u32], credits: &[i64]) -> (Vec<u32>, Vec<u32>) {
    let mut ended = credits.to_vec();
    let turn = smooth(weights, &mut ended);
    if ended == credits {
        return (Vec::new(), turn);
    }
    // In this one what was owed is evened out; from then on as if nothing had been.
    (turn, smooth(weights, &mut vec![0; weights.len()]))
}

/// Endpoints of one weight, by credit and position, the one to be served next in front.
struct Class {
    weight: i64,
    queue: VecDeque<(i64, u32)>,
    /// What the one in front is owed by now, and who that is.
    owed: i64,
    front: u32,
}

impl Class {
    fn look(&mut self, round: i64) {
        if let Some(&(credit, position)) = self.queue.front() {
            (self.owed, self.front) = (credit + self.weight * round, position);
        }
    }
}

/// One turn of nginx's smooth weighted round robin: in each round everybody is credited their weight, the one who is
/// owed most (the first of equals) is served and debited the total.
///
/// Endpoints of one weight gain alike, so among them the order changes only when one is served, who is then owed least:
/// a queue per distinct weight, and a round looks at the fronts alone.
fn smooth(weights: &[u32], credits: &mut [i64]) -> Vec<u32> {
    let total: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
    let mut classes = classes(weights, credits, total);
    let mut turn = Vec::with_capacity(total as usize);
    for round in 1..=total {
        let (mut best, mut most, mut first) = (0, i64::MIN, 0);
        for (at, class) in classes.iter_mut().enumerate() {
            class.owed += class.weight;
            if class.owed > most || class.owed == most && class.front < first {
                (best, most, first) = (at, class.owed, class.front);
            }
        }
        let Some(class) = classes.get_mut(best) else { break };
        if let Some((credit, position)) = class.queue.pop_front() {
            turn.push(position);
            class.queue.push_back((credit - total, position));
            class.look(round);
        }
    }
    for Class { weight, queue, .. } in classes {
        for (credit, position) in queue {
            credits[position as usize] = credit + weight * total;
        }
    }
    turn
}

fn classes(weights: &[u32], credits: &[i64], total: i64) -> Vec<Class> {
    let mut order: Vec<u32> = (0..weights.len() as u32).collect();
    order.sort_unstable_by_key(|&at| (weights[at as usize], Reverse(credits[at as usize]), at));
    let mut classes: Vec<Class> = Vec::new();
    for at in order {
        let (weight, credit) = (i64::from(weights[at as usize]), credits[at as usize]);
        match classes.last_mut().filter(|class| class.weight == weight) {
            Some(class) => {
                // Nobody is further behind than one who has just been served; a changed membership may have left it so.
                let most = class.queue.front().map_or(credit, |&(most, _)| most);
                class.queue.push_back((credit.max(most - total), at));
            }
            None => classes.push(Class { weight, queue: [(credit, at)].into(), owed: 0, front: 0 }),
        }
    }
    classes.iter_mut().for_each(|class| class.look(0));
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

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
