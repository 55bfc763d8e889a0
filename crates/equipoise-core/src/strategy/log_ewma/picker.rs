//! The picker of log-EWMA: draws a few endpoints and compares them.

use std::sync::Arc;

use super::{
    estimate::Memory,
    field::{Contender, EvenTurn, Field, NOISE},
    state::LogEwmaState,
};
use crate::{
    endpoint::Slot,
    entropy::{below, exponential},
    strategy::{
        PickCx, Picker,
        memories::Memories,
        sampling::{Choices, MAX_CHOICES, Race, SLACK, several},
    },
    view::View,
};

/// The picker that [`LogEwma`](crate::LogEwma) builds: it draws a few endpoints and picks one of them.
pub struct LogEwmaPicker {
    /// The eligible endpoints.
    entries: Box<[Entry]>,
    /// The race between endpoints of unequal weights. `None` if all weights are equal.
    race: Option<Race>,
    /// The states of all endpoints. The next picker takes over those of endpoints that stay.
    memories: Memories<LogEwmaState>,
    choices: usize,
    /// The number of endpoints / `choices`, in units of 2⁻³². Rounded up, so that the parts of a pool end exactly at
    /// its end.
    part: u64,
    even_turn: EvenTurn,
    memory: Memory,
}

/// An eligible endpoint and its state.
struct Entry {
    slot: Slot,
    state: Arc<LogEwmaState>,
}

impl LogEwmaPicker {
    pub(super) fn new(choices: Choices, memory: Memory, view: &View, last: Option<&Self>) -> Self {
        let memories = Memories::of(view, last.map(|last| &last.memories));
        let entry = |&slot: &Slot| {
            // The state is only missing in a view of a pool with another strategy.
            let state = memories.get(slot).cloned().unwrap_or_default();
            Entry { slot, state }
        };
        Self {
            entries: view.eligible().iter().map(entry).collect(),
            race: Race::of(view),
            memories,
            choices: choices.get(),
            part: ((view.eligible().len() as u64) << 32).div_ceil(choices.get() as u64),
            even_turn: EvenTurn::default(),
            memory,
        }
    }

    /// Draws distinct positions of endpoints of equal weights, and returns their number. If there are at most `choices`
    /// endpoints, all are drawn. Otherwise the pool is divided into `choices` parts from a random place on, and one
    /// position of each part is drawn.
    #[inline]
    fn draw(&self, cx: &mut PickCx<'_>, drawn: &mut [u32; MAX_CHOICES]) -> usize {
        let n = self.entries.len();
        let len = self.choices.min(n);
        if n <= self.choices {
            let start = below(n, cx.random() as u32);
            for (place, at) in drawn.iter_mut().zip((start..n).chain(0..start)) {
                *place = at as u32;
            }
        } else {
            let first = below(n, cx.random() as u32);
            let (mut from, mut to) = (0, self.part);
            for places in drawn[..len].chunks_mut(4) {
                let mut bits = cx.random();
                for place in places {
                    let (begin, end) = ((from >> 32) as usize, (to >> 32) as usize);
                    let at = first + begin + below(end - begin, (bits << 16) as u32);
                    *place = if at < n { at } else { at - n } as u32;
                    (from, to, bits) = (to, to + self.part, bits >> 16);
                }
            }
        }
        len
    }

    /// Returns the slot of the best one of several endpoints with equal weights.
    #[inline]
    fn pick_equal(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let mut drawn = [0; MAX_CHOICES];
        let len = self.draw(cx, &mut drawn);
        let drawn = &drawn[..len];
        let first = self.entries.get(*drawn.first()? as usize)?;
        // Most picks end here. If no endpoint is slow or fails, the first endpoint wins if it is idle. The counts of
        // the others are then not read, because it costs a cache miss to read a count that another thread has just
        // changed.
        if self.are_alike(drawn) {
            first.state.trials.forget(cx.now(), self.memory.trials);
            let load = cx.view().load(first.slot);
            if load.waiting == 0 && load.answered == 0 {
                return Some(first.slot);
            }
        }
        self.compare(drawn, cx)
    }

    /// Returns whether none of these endpoints is slow or has a penalty.
    #[inline]
    fn are_alike(&self, drawn: &[u32]) -> bool {
        let (mut lowest, mut highest) = (f64::INFINITY, 0.0_f64);
        for entry in drawn.iter().filter_map(|&at| self.entries.get(at as usize)) {
            if !entry.state.penalty.is_none() {
                return false;
            }
            let estimate = entry.state.estimate.millis();
            lowest = if estimate > 0.0 { lowest.min(estimate) } else { lowest };
            highest = highest.max(estimate.abs());
        }
        highest <= NOISE * if lowest.is_finite() { lowest } else { 1.0 }
    }

    /// Returns the slot of the best one of several usable endpoints with equal weights. The draws are those of
    /// [`pick_equal`](Self::pick_equal), so that an explanation shows what a pick does.
    #[cold]
    fn pick_usable(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let (mut drawn, mut usable, mut len) = ([0; MAX_CHOICES], [0; MAX_CHOICES], 0);
        let count = self.draw(cx, &mut drawn);
        let mut enter = |at: u32, cx: &mut PickCx<'_>| {
            if len < MAX_CHOICES && cx.usable(self.entries[at as usize].slot) {
                usable[len] = at;
                len += 1;
            }
            len
        };
        let entered = drawn[..count].iter().fold(0, |_, &at| enter(at, cx));
        if entered < 2 && count < self.entries.len() {
            several(self.entries.len(), 2, cx, |at, cx| enter(at as u32, cx));
        }
        self.compare(&usable[..len], cx)
    }

    // Not inlined, so that the code of most picks stays small.
    #[inline(never)]
    fn compare(&self, drawn: &[u32], cx: &mut PickCx<'_>) -> Option<Slot> {
        let mut field = Field::new();
        for entry in drawn.iter().filter_map(|&at| self.entries.get(at as usize)) {
            field.push(entry.slot, &entry.state, 1.0, cx);
        }
        field.settle(self.memory, &self.even_turn, cx);
        // If several endpoints have the best score, the first contender wins before the others, because it has been
        // drawn at random. The others are ordered by random numbers. Of the first two, the one with fewer responses
        // that have begun wins. If the one with the fewest of all won, it would get all requests while the pool is
        // idle.
        let lots = cx.random();
        let mut best: Option<(f64, u64, &Contender<'_>)> = None;
        let mut second: Option<(u64, &Contender<'_>)> = None;
        for (rank, contender) in field.iter().enumerate() {
            // Six bits for each contender are enough for ten contenders.
            let lot = if rank == 0 { 0 } else { 1 + (lots >> (6 * rank) & 63) };
            let score = contender.score();
            cx.score(contender.slot, score);
            match best {
                Some((lowest, _, _)) if score > lowest => {}
                Some((lowest, before, tied)) if score == lowest => {
                    let (first, other) = if lot < before {
                        ((lot, contender), (before, tied))
                    } else {
                        ((before, tied), (lot, contender))
                    };
                    best = Some((score, first.0, first.1));
                    second = Some(second.filter(|(lot, _)| *lot < other.0).unwrap_or(other));
                }
                _ => (best, second) = (Some((score, lot, contender)), None),
            }
        }
        let (score, _, first) = best?;
        let winner =
            second.map_or(first, |(_, second)| if second.load.answered < first.load.answered { second } else { first });
        Some(self.finish(&field, winner, score, cx))
    }

    /// Returns the slot of the winner, or that of an idle endpoint for a trial instead. `winning_score` is the score of
    /// the winner.
    fn finish(&self, field: &Field<'_>, winner: &Contender<'_>, winning_score: f64, cx: &mut PickCx<'_>) -> Slot {
        let tried = field.trial(winning_score, self.memory.trials.min, cx);
        let picked = tried.unwrap_or(winner);
        if (tried.is_some() || picked.is_overdue) && !cx.is_explained() {
            picked.state.trials.begin(cx.now());
            // The estimate of a silent endpoint is that of the time before, so that its response is an ordinary one.
            if picked.silence == 0.0 {
                picked.state.estimate.mark_trial();
            }
        }
        picked.slot
    }

    /// Returns the slot of the winner of a race between endpoints of unequal weights (see
    /// [`sampling`](crate::strategy::sampling)).
    #[inline(never)]
    fn run(&self, race: &Race, cx: &mut PickCx<'_>) -> Option<Slot> {
        let mut field = Field::new();
        if let Some(light) = &race.light {
            light.draw(self.choices, cx, |at, cx| {
                self.enter(&mut field, at, race, cx);
                field.len()
            });
        }
        let drawn = field.len();
        for &at in &race.heavy {
            self.enter(&mut field, at, race, cx);
        }
        if field.len() == 0 {
            // All heavy endpoints and all draws were unusable.
            let (n, mut found) = (self.entries.len(), 0);
            several(n, 2, cx, |at, cx| {
                self.enter(&mut field, at as u32, race, cx);
                found = field.len();
                found
            });
        }
        field.settle(self.memory, &self.even_turn, cx);
        let waiting = |c: &Contender<'_>| f64::from(c.load.waiting);
        let level = field.iter().map(|c| (waiting(c) + SLACK) * c.inverse).fold(f64::INFINITY, f64::min);
        let load = |c: &Contender<'_>| (waiting(c) * c.inverse).max(level);
        let mut best: Option<(f64, &Contender<'_>)> = None;
        if let Some(group) = race.light.as_ref().filter(|_| drawn > 0) {
            // The draws are by weight, so if several endpoints have the best score, the first one wins.
            let mut light: Option<(f64, &Contender<'_>)> = None;
            for contender in field.iter().take(drawn) {
                let score = contender.cost * (waiting(contender) * contender.inverse + group.inverse_mean);
                cx.score(contender.slot, score);
                if light.is_none_or(|(lowest, _)| score < lowest) {
                    light = Some((score, contender));
                }
            }
            if let Some((_, contender)) = light {
                // The drawn contender represents all light endpoints, so its random number has the mean of them
                // together.
                let is_alone = field.len() == drawn;
                let chance = if is_alone { 0.0 } else { exponential(cx.random() as u32) * group.inverse_total };
                best = Some((contender.cost * (load(contender) + chance), contender));
            }
        }
        for contender in field.iter().skip(drawn) {
            let chance = exponential(cx.random() as u32) * contender.inverse;
            let score = contender.cost * (load(contender) + chance);
            cx.score(contender.slot, score);
            if best.is_none_or(|(lowest, _)| score < lowest) {
                best = Some((score, contender));
            }
        }
        let (_, winner) = best?;
        Some(self.finish(&field, winner, winner.score(), cx))
    }

    fn enter<'a>(&'a self, field: &mut Field<'a>, at: u32, race: &Race, cx: &mut PickCx<'_>) {
        if let (Some(entry), Some(&inverse)) = (self.entries.get(at as usize), race.inverse.get(at as usize))
            && cx.usable(entry.slot)
        {
            field.push(entry.slot, &entry.state, inverse, cx);
        }
    }
}

impl Picker for LogEwmaPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        match &self.race {
            None if cx.is_checked() => self.pick_usable(cx),
            None => self.pick_equal(cx),
            Some(race) => self.run(race, cx),
        }
    }
}
