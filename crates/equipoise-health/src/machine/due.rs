use std::collections::VecDeque;

/// The record number of an endpoint and the index of a check.
type Due = (u64, usize);

/// The checks whose next probe is due but waits, because the maximum number of probes runs. Each check has a sequence
/// number.
#[derive(Debug, Default)]
pub(super) struct DueChecks {
    sequence: u64,
    others: VecDeque<(u64, Due)>,
    /// The checks whose last probe exceeded its timeout.
    hanging: VecDeque<(u64, Due)>,
}

impl DueChecks {
    pub(super) fn push(&mut self, due: Due, hangs: bool) {
        self.sequence += 1;
        if hangs { &mut self.hanging } else { &mut self.others }.push_back((self.sequence, due));
    }

    /// Removes and returns the check that has waited longest. Checks whose last probe exceeded its timeout are only
    /// considered if `hanging_too` is true.
    pub(super) fn pop(&mut self, hanging_too: bool) -> Option<Due> {
        let first = |queue: &VecDeque<(u64, Due)>| queue.front().map_or(u64::MAX, |(sequence, _)| *sequence);
        let hangs = hanging_too && first(&self.hanging) < first(&self.others);
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
    fn checks_are_served_in_order_and_hanging_ones_only_if_allowed() {
        let mut due = DueChecks::default();
        for (record, hangs) in [(1, true), (2, false), (3, true), (4, false), (5, true)] {
            due.push((record, 0), hangs);
        }
        due.forget(5);
        assert_eq!(due.pop(false), Some((2, 0)));
        assert_eq!(due.pop(true), Some((1, 0)));
        assert_eq!(due.pop(true), Some((3, 0)));
        assert_eq!(due.pop(true), Some((4, 0)));
        assert_eq!(due.pop(true), None);
    }
}
