//! The state of a server in a run: its queue, the jobs in service and its active faults.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Duration,
};

use equipoise_health::probe::{ProbeError, ProbeOutcome};

use super::events::{AttemptId, Nanos, nanos};
use crate::{
    feed::ServerLoad,
    scenario::{FaultKind, Server, Shedding},
};

/// A server that works on at most `slots` jobs at a time, all at the same rate. A job is an attempt at this server.
///
/// Because all jobs in service advance at the same rate, one number describes all of them: `progress`, the core-seconds
/// that a job would have got if it had been in service since the server was last idle. A job ends when `progress` has
/// grown by the work of the job since the job began.
pub(super) struct Station {
    slots: usize,
    allocation: f64,
    /// Number of usable cores: the allocation, or the number that antagonists leave.
    cores: f64,
    speed: f64,
    shedding: Option<Shedding>,
    pub(super) faults: Faults,

    progress: f64,
    /// Time up to which `progress` has been computed.
    since: Nanos,
    /// Jobs in service, in the order of the `progress` at which they end. May contain cancelled jobs.
    in_service: BinaryHeap<Reverse<Job>>,
    working: usize,
    /// Queued jobs, each with its work in core-seconds. May contain cancelled jobs.
    queue: VecDeque<(AttemptId, f64)>,
    waiting: usize,

    /// The job whose end is planned as an event, and the rate for which it was planned. `plan` is the number of this
    /// plan: events of earlier plans are ignored.
    planned: Option<(AttemptId, f64)>,
    plan: u32,

    /// Core-seconds that were used since the last call of [`take_used`](Self::take_used).
    used: f64,
}

/// Time in nanoseconds that a server without faults takes to respond to a health check.
const CHECK: Nanos = 1_000_000;

/// The faults of a server that are active at present.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) active: Vec<FaultKind>,
    /// Time of the start of the latest cold start.
    pub(super) cold_since: Nanos,
}

/// Whether an attempt is in service at its server or in the queue of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    InService,
    InQueue,
}

struct Job {
    ends: f64,
    id: AttemptId,
}

impl Station {
    pub(super) fn new(server: &Server) -> Self {
        Self {
            slots: server.slots,
            allocation: server.cores,
            cores: server.cores,
            speed: server.speed,
            shedding: server.shedding,
            faults: Faults::default(),
            progress: 0.0,
            since: 0,
            in_service: BinaryHeap::new(),
            working: 0,
            queue: VecDeque::new(),
            waiting: 0,
            planned: None,
            plan: 0,
            used: 0.0,
        }
    }

    /// Returns the number of jobs in service and in the queue.
    pub(super) fn len(&self) -> usize {
        self.working + self.waiting
    }

    /// Returns `Some` if the server sheds a request that arrives now. The inner value is the `Retry-After` of the
    /// response.
    pub(super) fn sheds(&self) -> Option<Option<Duration>> {
        self.shedding.filter(|shedding| self.len() >= shedding.from).map(|shedding| shedding.retry_after)
    }

    pub(super) fn load(&self) -> ServerLoad {
        let utilisation = self.cores_in_use() / self.allocation;
        ServerLoad { in_flight: self.len() as u32, utilisation }
    }

    /// Returns the core-seconds that were used since the last call, relative to the number of allocated cores.
    pub(super) fn take_used(&mut self, now: Nanos) -> f64 {
        self.advance(now);
        std::mem::take(&mut self.used) / self.allocation
    }

    /// Computes `progress` up to `now`. Must be called before anything that changes the rate of the jobs.
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

    /// Returns the rate of each job in service, in core-seconds per second.
    fn rate(&self) -> f64 {
        if self.faults.stalls() {
            return 0.0;
        }
        let core = self.speed / self.faults.slowness();
        let rate = if self.cores >= self.working as f64 { core } else { core * self.cores / self.working as f64 };
        // Not 0, even for an extremely slow job: the run waits for the end of the job.
        rate.max(f64::MIN_POSITIVE)
    }

    /// Sets the number of usable cores, relative to the allocation.
    pub(super) fn set_share(&mut self, share: f64, now: Nanos) {
        self.advance(now);
        self.cores = self.allocation * share;
    }

    /// Puts a job into service, or into the queue if all slots are in use. Returns which of the two.
    pub(super) fn enter(&mut self, id: AttemptId, work: f64, now: Nanos) -> Place {
        self.advance(now);
        let work = work * self.faults.coldness(now);
        if self.working < self.slots {
            self.begin(id, work);
            Place::InService
        } else {
            self.queue.push_back((id, work));
            self.waiting += 1;
            Place::InQueue
        }
    }

    fn begin(&mut self, id: AttemptId, work: f64) {
        if self.working == 0 {
            // Keeps `progress` small, because large floating-point numbers lose precision.
            self.progress = 0.0;
            self.in_service.clear();
        }
        self.working += 1;
        self.in_service.push(Reverse(Job { ends: self.progress + work, id }));
    }

    /// Cancels a job that was at `place`. `is_at_server` returns whether a job has not been cancelled. Returns the
    /// queued job that begins service because of the cancellation, if there is one.
    pub(super) fn cancel(
        &mut self,
        place: Place,
        now: Nanos,
        is_at_server: impl Fn(AttemptId) -> bool,
    ) -> Option<AttemptId> {
        self.advance(now);
        match place {
            Place::InQueue => {
                self.waiting -= 1;
                None
            }
            Place::InService => {
                self.working -= 1;
                self.start_next(is_at_server)
            }
        }
    }

    /// Ends the job whose end was planned. Returns this job, and the queued job that begins service in its slot, if
    /// there is one.
    pub(super) fn done(
        &mut self,
        now: Nanos,
        is_at_server: impl Fn(AttemptId) -> bool,
    ) -> Option<(AttemptId, Option<AttemptId>)> {
        self.advance(now);
        let Reverse(job) = self.in_service.pop()?;
        // The planned time is rounded to nanoseconds, so progress can be slightly below the end.
        self.progress = self.progress.max(job.ends);
        self.working -= 1;
        self.planned = None;
        Some((job.id, self.start_next(is_at_server)))
    }

    fn start_next(&mut self, is_at_server: impl Fn(AttemptId) -> bool) -> Option<AttemptId> {
        while let Some((id, work)) = self.queue.pop_front() {
            if is_at_server(id) {
                self.waiting -= 1;
                self.begin(id, work);
                return Some(id);
            }
        }
        None
    }

    /// Removes all jobs, in service and queued, and returns those that have not been cancelled.
    pub(super) fn drop_all(&mut self, now: Nanos, is_at_server: impl Fn(AttemptId) -> bool) -> Vec<AttemptId> {
        self.advance(now);
        let in_service = std::mem::take(&mut self.in_service).into_sorted_vec();
        let in_service = in_service.into_iter().rev().map(|Reverse(job)| job.id);
        let all = in_service.chain(std::mem::take(&mut self.queue).into_iter().map(|(id, _)| id));
        (self.working, self.waiting) = (0, 0);
        all.filter(|&id| is_at_server(id)).collect()
    }

    /// Plans the end of the job that ends first. Returns the time of this end and the number of the plan. `None` if the
    /// same end is planned already, or if no job is going to end.
    pub(super) fn plan(&mut self, is_at_server: impl Fn(AttemptId) -> bool) -> Option<(Nanos, u32)> {
        while self.in_service.peek().is_some_and(|Reverse(job)| !is_at_server(job.id)) {
            self.in_service.pop();
        }
        let rate = self.rate();
        let next = self.in_service.peek().filter(|_| rate > 0.0).map(|Reverse(job)| (job.id, rate));
        if next == self.planned {
            return None;
        }
        self.planned = next;
        self.plan = self.plan.wrapping_add(1);
        let Reverse(job) = self.in_service.peek().filter(|_| next.is_some())?;
        let nanos = ((job.ends - self.progress).max(0.0) / rate * 1e9).ceil();
        Some((self.since.saturating_add(nanos as u64), self.plan))
    }

    /// Returns whether the plan with this number is the current one.
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

    /// Returns the factor by which a cold start multiplies the work of a job that arrives now. 1 without a cold start.
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

    pub(super) fn is_blackhole(&self) -> bool {
        self.has(|kind| *kind == FaultKind::Blackhole)
    }

    /// Returns the time in nanoseconds after which a request with this random number (see
    /// [`Draw::failure_draw`](super::draw::Draw)) fails without work. `None` if it does not.
    pub(super) fn fails_fast_after(&self, failure_draw: f64) -> Option<Nanos> {
        self.active.iter().find_map(|kind| match kind {
            FaultKind::Sinkhole { after, .. } => Some(nanos(*after)),
            FaultKind::Flaky { share, after: Some(after) } if failure_draw < *share => Some(nanos(*after)),
            _ => None,
        })
    }

    /// Returns whether a request with this random number (see [`Draw::failure_draw`](super::draw::Draw)) gets an error
    /// response after its work is done.
    pub(super) fn fails_after_work(&self, failure_draw: f64) -> bool {
        self.has(|kind| matches!(kind, FaultKind::Flaky { share, after: None } if failure_draw < *share))
    }

    /// Returns the result of a health check that arrives now, and the time in nanoseconds that the server takes to
    /// respond. `None` if no response comes.
    pub(super) fn check(&self, now: Nanos) -> Option<(Result<ProbeOutcome, ProbeError>, Nanos)> {
        if self.is_blackhole() || self.stalls() {
            return None;
        }
        if self.refuses() {
            return Some((Err(ProbeError::Connect("refused".to_owned())), 0));
        }
        if self.has(|kind| matches!(kind, FaultKind::Sinkhole { fails_checks: true, .. })) {
            return Some((Err(ProbeError::Unexpected("an error".to_owned())), CHECK));
        }
        // The conversion saturates for an extremely slow server.
        Some((Ok(ProbeOutcome::Passed), (CHECK as f64 * self.slowness() * self.coldness(now)) as Nanos))
    }

    pub(super) fn is_removed(&self) -> bool {
        self.has(|kind| *kind == FaultKind::Removed)
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
