use std::time::Duration;

use super::rule::MAX_LIMITS;

/// What a limit says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) result: LimitResult,
    /// Units that the key can still use at once.
    pub(super) remaining: u32,
    /// Nanoseconds until the bucket is full.
    pub(super) full_in: u64,
    /// Nanoseconds until the next unit comes back; 0 if there is a unit.
    pub(super) unit_in: u64,
}

/// The decision of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LimitResult {
    /// The request passes. It waits this many nanoseconds before.
    Admitted { delay: u64 },
    /// The request is denied. The same request can be admitted after this many nanoseconds.
    Denied { retry_in: u64 },
    /// The request uses more units than the burst.
    TooCostly,
}

/// What all limits of a layer say about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// By limit. `None` if the limit does not apply to the request.
    pub(super) readings: [Option<Reading>; MAX_LIMITS],
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Pass {
        delay: Duration,
    },
    Deny {
        retry_in: Duration,
    },
    /// The request uses more units than the burst of a limit.
    DenyCost,
    /// The server with the buckets is unavailable, and requests are denied then.
    DenyUndecided,
}

impl Verdict {
    /// Returns what happens to the request. `enforced` says which limits count.
    pub(super) fn action(&self, enforced: impl Fn(usize) -> bool) -> Action {
        let (mut longest_delay, mut longest_wait) = (0, None);
        for (at, reading) in self.readings.iter().enumerate() {
            match reading.as_ref().filter(|_| enforced(at)).map(|reading| reading.result) {
                None => {}
                Some(LimitResult::Admitted { delay }) => longest_delay = delay.max(longest_delay),
                Some(LimitResult::Denied { retry_in }) => longest_wait = longest_wait.max(Some(retry_in)),
                Some(LimitResult::TooCostly) => return Action::DenyCost,
            }
        }
        match longest_wait {
            Some(wait) => Action::Deny { retry_in: Duration::from_nanos(wait) },
            None => Action::Pass { delay: Duration::from_nanos(longest_delay) },
        }
    }
}
