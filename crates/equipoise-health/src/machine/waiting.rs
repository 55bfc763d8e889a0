use std::collections::VecDeque;

/// Checks that are due while as many probes as allowed are under way: a record and which of its checks.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    others: VecDeque<(u64, usize)>,
    /// Of endpoints that hung the last time.
    hanging: VecDeque<(u64, usize)>,
}

impl Waiting {
    pub(super) fn push(&mut self, due: (u64, usize), hangs: bool) {
        if hangs { &mut self.hanging } else { &mut self.others }.push_back(due);
    }

    /// The next: one that hung if that is allowed and any wait, because there are places that are for them only.
    pub(super) fn pop(&mut self, hanging_too: bool) -> Option<(u64, usize)> {
        let hanging = if hanging_too { self.hanging.pop_front() } else { None };
        hanging.or_else(|| self.others.pop_front())
    }

    pub(super) fn forget(&mut self, record: u64) {
        self.others.retain(|&(of, _)| of != record);
        self.hanging.retain(|&(of, _)| of != record);
    }
}
