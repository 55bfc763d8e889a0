use std::collections::VecDeque;

/// A record, and which of its checks.
type Due = (u64, usize);

/// Checks that are due while as many probes as allowed are under way, each with the number of its turn.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    turn: u64,
    others: VecDeque<(u64, Due)>,
    /// Of endpoints that hung the last time.
    hanging: VecDeque<(u64, Due)>,
}

impl Waiting {
    pub(super) fn push(&mut self, due: Due, hangs: bool) {
        self.turn += 1;
        if hangs { &mut self.hanging } else { &mut self.others }.push_back((self.turn, due));
    }

    /// The next: whoever has waited longest, of those that hung only if that is allowed.
    pub(super) fn pop(&mut self, hanging_too: bool) -> Option<Due> {
        let turn = |queue: &VecDeque<(u64, Due)>| queue.front().map_or(u64::MAX, |(turn, _)| *turn);
        let hangs = hanging_too && turn(&self.hanging) < turn(&self.others);
        let next = if hangs { self.hanging.pop_front() } else { self.others.pop_front() };
        next.map(|(_, due)| due)
    }

    pub(super) fn forget(&mut self, record: u64) {
        for queue in [&mut self.others, &mut self.hanging] {
            queue.retain(|&(_, (of, _))| of != record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_first_come_first_served_but_for_those_that_may_not() {
        let mut waiting = Waiting::default();
        for (record, hangs) in [(1, true), (2, false), (3, true), (4, false), (5, true)] {
            waiting.push((record, 0), hangs);
        }
        waiting.forget(5);
        assert_eq!(waiting.pop(false), Some((2, 0)));
        assert_eq!(waiting.pop(true), Some((1, 0)));
        assert_eq!(waiting.pop(true), Some((3, 0)));
        assert_eq!(waiting.pop(true), Some((4, 0)));
        assert_eq!(waiting.pop(true), None);
    }
}
