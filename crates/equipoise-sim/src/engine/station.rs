//! A server at work.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use equipoise_health::probe::{Answer, ProbeError};

use super::events::{Nanos, TryId};
use crate::{
    feed::ServerLoad,
    scenario::{FaultKind, Server},
};

/// Works on jobs: at most `slots` at a time, each at the same rate.
///
/// Since all jobs in work advance alike, one number says how far everybody is: `progress`, the core-seconds done for a
/// job that had been here from the start. A job ends when progress passes what it was at its beginning plus its work.
pub(super) struct Station {
    slots: usize,
    allocation: f64,
    /// What it may use now: the allocation, or what antagonists leave.
    cores: f64,
    speed: f64,
    pub(super) faults: Faults,

    progress: f64,
    /// Until when progress is counted.
    since: Nanos,
    /// Those in work, by the progress at which they end. May hold jobs that have been taken away.
    in_work: BinaryHeap<Reverse<Job>>,
    working: usize,
    /// Those in line, with their work. May hold jobs that have been taken away.
    line: VecDeque<(TryId, f64)>,
    waiting: usize,

    /// The end that is planned for: of whom, at which rate. A plan that changes gets a new number.
    planned: Option<(TryId, f64)>,
    plan: u32,

    /// Core-seconds used since it was last asked.
    used: f64,
}

/// How long a server that is well takes to answer a health check.
const CHECK: Nanos = 1_000_000;

/// What is wrong with it.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) active: Vec<FaultKind>,
    /// When each cold start began.
    pub(super) cold_since: Nanos,
}

/// Where a job is at its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    InWork,
    InLine,
}

struct Job {
    ends: f64,
    id: TryId,
}

impl Station {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            slots: server.slots,
            allocation: server.cores,
            cores: server.cores,
            speed: server.speed,
            faults: Faults::default(),
            progress: 0.0,
            since: 0,
            in_work: BinaryHeap::new(),
            working: 0,
            line: VecDeque::new(),
            waiting: 0,
            planned: None,
            plan: 0,
            used: 0.0,
        }
    }

    /// Jobs here.
    pub(super) fn len(&self) -> usize {
        self.working + self.waiting
    }

    pub(super) fn load(&self) -> ServerLoad {
        let utilisation = self.cores_in_use() / self.allocation;
        ServerLoad { in_flight: self.len() as u32, utilisation }
    }

    /// Core-seconds used since this was last called, relative to the allocation.
    pub(super) fn take_used(&mut self, now: Nanos) -> f64 {
        self.advance(now);
        std::mem::take(&mut self.used) / self.allocation
    }

    /// Must be called before anything changes.
    pub(super) fn advance(&mut self, now: Nanos) {
        let seconds = (now - self.since) as f64 * 1e-9;
        self.since = now;
        if self.working > 0 {
            self.progress += seconds * self.rate();
            self.used += seconds * self.cores_in_use();
        }
    }

    fn cores_in_use(&self) -> f64 {
        if self.faults.stalls() { 0.0 } else { self.cores.min(self.working as f64) }
    }

    /// Core-seconds a second for each job in work.
    fn rate(&self) -> f64 {
        if self.faults.stalls() {
            return 0.0;
        }
        let core = self.speed / self.faults.slowness();
        let rate = if self.cores >= self.working as f64 { core } else { core * self.cores / self.working as f64 };
        // Who is slow beyond all numbers ends at the end of time, and not never, which a run would wait for.
        rate.max(f64::MIN_POSITIVE)
    }

    /// What it may use from now on, relative to its allocation.
    pub(super) fn allot(&mut self, share: f64, now: Nanos) {
        self.advance(now);
        self.cores = self.allocation * share;
    }

    pub(super) fn enter(&mut self, id: TryId, work: f64, now: Nanos) -> Place {
        self.advance(now);
        let work = work * self.faults.coldness(now);
        if self.working < self.slots {
            self.begin(id, work);
            Place::InWork
        } else {
            self.line.push_back((id, work));
            self.waiting += 1;
            Place::InLine
        }
    }

    fn begin(&mut self, id: TryId, work: f64) {
        if self.working == 0 {
            // Keeps the number small, so that long runs lose no precision.
            self.progress = 0.0;
            self.in_work.clear();
        }
        self.working += 1;
        self.in_work.push(Reverse(Job { ends: self.progress + work, id }));
    }

    /// Takes a job away before its end. `is_here` tells which jobs have not been taken away.
    ///
    /// Answers who moved up from the line.
    pub(super) fn take_away(&mut self, place: Place, now: Nanos, is_here: impl Fn(TryId) -> bool) -> Option<TryId> {
        self.advance(now);
        match place {
            Place::InLine => {
                self.waiting -= 1;
                None
            }
            Place::InWork => {
                self.working -= 1;
                self.move_up(is_here)
            }
        }
    }

    /// The job whose end was planned is done. Answers it, and who moved up.
    pub(super) fn done(&mut self, now: Nanos, is_here: impl Fn(TryId) -> bool) -> Option<(TryId, Option<TryId>)> {
        self.advance(now);
        let Reverse(job) = self.in_work.pop()?;
        // The plan was rounded up to whole nanoseconds, and down by floating point.
        self.progress = self.progress.max(job.ends);
        self.working -= 1;
        self.planned = None;
        Some((job.id, self.move_up(is_here)))
    }

    fn move_up(&mut self, is_here: impl Fn(TryId) -> bool) -> Option<TryId> {
        while let Some((id, work)) = self.line.pop_front() {
            if is_here(id) {
                self.waiting -= 1;
                self.begin(id, work);
                return Some(id);
            }
        }
        None
    }

    /// Everybody here, who is then gone.
    pub(super) fn drop_all(&mut self, now: Nanos, is_here: impl Fn(TryId) -> bool) -> Vec<TryId> {
        self.advance(now);
        let in_work = std::mem::take(&mut self.in_work).into_sorted_vec();
        let in_work = in_work.into_iter().rev().map(|Reverse(job)| job.id);
        let all = in_work.chain(std::mem::take(&mut self.line).into_iter().map(|(id, _)| id));
        (self.working, self.waiting) = (0, 0);
        all.filter(|&id| is_here(id)).collect()
    }

    /// The next end: when, and the number of the plan; `None` if it is planned already, or nobody ends.
    pub(super) fn plan(&mut self, is_here: impl Fn(TryId) -> bool) -> Option<(Nanos, u32)> {
        while self.in_work.peek().is_some_and(|Reverse(job)| !is_here(job.id)) {
            self.in_work.pop();
        }
        let rate = self.rate();
        let next = self.in_work.peek().filter(|_| rate > 0.0).map(|Reverse(job)| (job.id, rate));
        if next == self.planned {
            return None;
        }
        self.planned = next;
        self.plan = self.plan.wrapping_add(1);
        let Reverse(job) = self.in_work.peek().filter(|_| next.is_some())?;
        let nanos = ((job.ends - self.progress).max(0.0) / rate * 1e9).ceil();
        Some((self.since.saturating_add(nanos as u64), self.plan))
    }

    pub(super) fn follows(&self, plan: u32) -> bool {
        self.planned.is_some() && self.plan == plan
    }
}

impl Faults {
    fn has(&self, wanted: impl Fn(&FaultKind) -> bool) -> bool {
        self.active.iter().any(wanted)
    }

    fn stalls(&self) -> bool {
        self.has(|kind| *kind == FaultKind::Stall)
    }

    fn slowness(&self) -> f64 {
        self.active.iter().map(|kind| if let FaultKind::Slow { factor } = kind { *factor } else { 1.0 }).product()
    }

    /// How many times the work a job is that begins now.
    fn coldness(&self, now: Nanos) -> f64 {
        let coldness = |kind: &FaultKind| match kind {
            FaultKind::Cold { factor, over } => {
                let warm = (now - self.cold_since) as f64 / over.as_nanos() as f64;
                1.0 + (factor - 1.0) * (1.0 - warm).clamp(0.0, 1.0)
            }
            _ => 1.0,
        };
        self.active.iter().map(coldness).product()
    }

    pub(super) fn refuses(&self) -> bool {
        self.has(|kind| *kind == FaultKind::Refuses)
    }

    pub(super) fn swallows(&self) -> bool {
        self.has(|kind| *kind == FaultKind::Swallows)
    }

    /// After which time it answers with an error, if it does.
    pub(super) fn sinks(&self) -> Option<Nanos> {
        self.active.iter().find_map(|kind| match kind {
            FaultKind::Sinkhole { after, .. } => Some(after.as_nanos() as Nanos),
            _ => None,
        })
    }

    /// What a health check hears, and after how long; `None`: nothing.
    pub(super) fn check(&self, now: Nanos) -> Option<(Result<Answer, ProbeError>, Nanos)> {
        if self.swallows() || self.stalls() {
            return None;
        }
        if self.refuses() {
            return Some((Err(ProbeError::Connect("refused".to_owned())), 0));
        }
        if self.has(|kind| matches!(kind, FaultKind::Sinkhole { admits: true, .. })) {
            return Some((Err(ProbeError::Unexpected("an error".to_owned())), CHECK));
        }
        // Saturates, where it is slow beyond all numbers.
        Some((Ok(Answer::Passed), (CHECK as f64 * self.slowness() * self.coldness(now)) as Nanos))
    }

    pub(super) fn is_away(&self) -> bool {
        self.has(|kind| *kind == FaultKind::Away)
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ends.total_cmp(&other.ends).then(self.id.number.cmp(&other.id.number))
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Job {}
