use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use equipoise_core::{AppliedChanges, EndpointId, EndpointStatus, Pool, Revision, UpdateError};
use futures::FutureExt;
use tokio::{
    task::{AbortHandle, JoinError, JoinHandle, JoinSet},
    time::{Instant, sleep_until},
};

use super::Shared;
use crate::{
    machine::{Action, Event, ProbeId},
    probe::{Answer, ProbeError, Target},
};

/// Ends a task when it is dropped.
#[derive(Debug)]
#[must_use = "the checks end when it is dropped"]
pub struct Guard(JoinHandle<()>);

impl Guard {
    pub(super) fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

type Probed = (ProbeId, Result<Answer, ProbeError>);

/// What outlives a run.
#[derive(Default)]
pub(super) struct Known {
    /// Whom the machine knows.
    members: BTreeMap<EndpointId, Member>,
    probing: HashMap<ProbeId, AbortHandle>,
}

#[derive(PartialEq)]
struct Member {
    /// An endpoint that left and came back between two looks at the pool has forgotten what was said about it.
    joined: Revision,
    address: Box<str>,
}

pub(super) struct Runner<'a, T> {
    shared: &'a Shared,
    pool: &'a Pool<T>,
    known: &'a mut Known,
    seen: Option<Revision>,
    /// Each probe is a task of its own, so that one which keeps its thread busy does not hold up the others. They end with
    /// the run.
    probes: JoinSet<Probed>,
}

impl<'a, T: Send + Sync + 'static> Runner<'a, T> {
    pub(super) fn new(shared: &'a Shared, pool: &'a Pool<T>, known: &'a mut Known) -> Self {
        Self { shared, pool, known, seen: None, probes: JoinSet::new() }
    }

    pub(super) async fn run(mut self) {
        for probe in std::mem::take(&mut self.known.probing).into_keys() {
            self.tell(Event::Probed { probe, result: Ok(Answer::Silent("interrupted".into())) });
        }
        // It may be another pool than the last time.
        self.shared.machine.lock().show_again();
        loop {
            let revision = self.pool.revision();
            self.meet_members();
            // Before the clock is looked at: a probe that has ended in time is not late because this is.
            while let Some(ended) = self.probes.try_join_next() {
                self.probed(ended);
            }
            for event in self.shared.signals.take() {
                self.tell(event);
            }
            self.shared.machine.lock().handle_timeout(self.shared.now());
            self.act();
            self.wait(revision).await;
        }
    }

    fn tell(&self, event: Event) {
        self.shared.machine.lock().handle(self.shared.now(), event);
    }

    /// Until something may have happened.
    async fn wait(&mut self, revision: Revision) {
        let timeout = self.shared.machine.lock().poll_timeout();
        let now = self.shared.now();
        let at = timeout.map(|at| Instant::now() + at.since(now));
        tokio::select! {
            () = async { match at { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
            () = self.shared.wake.notified() => {}
            _ = self.pool.changed(revision) => {}
            Some(ended) = self.probes.join_next() => self.probed(ended),
        }
    }

    fn probed(&mut self, ended: Result<Probed, JoinError>) {
        // A task that was aborted has nothing to say.
        if let Ok((probe, result)) = ended {
            self.known.probing.remove(&probe);
            self.tell(Event::Probed { probe, result });
        }
    }

    /// Tells the machine who has come, gone or moved.
    fn meet_members(&mut self) {
        let membership = self.pool.membership();
        if self.seen.replace(membership) == Some(membership) {
            return;
        }
        let member = |endpoint: EndpointStatus| {
            (endpoint.id, Member { joined: endpoint.joined, address: endpoint.address.into() })
        };
        let present: BTreeMap<EndpointId, Member> = self.pool.endpoints().into_iter().map(member).collect();
        for id in self.known.members.keys().filter(|id| !present.contains_key(*id)) {
            self.tell(Event::Left(id.clone()));
        }
        for (id, _) in present.iter().filter(|(id, member)| self.known.members.get(*id) != Some(member)) {
            self.tell(Event::Joined(id.clone()));
        }
        self.known.members = present;
        let signals = &self.shared.signals;
        if signals.rules().is_some() && !self.known.members.is_empty() && !signals.listens() {
            tracing::warn!(
                "requests are to eject endpoints, but nobody listens to them: give the pool a watched strategy"
            );
        }
    }

    fn act(&mut self) {
        // Set all at once, because each change of the pool costs as much as many.
        let (mut availabilities, mut percents, mut limits) = (Vec::new(), Vec::new(), Vec::new());
        // Told once it is so: whoever hears of it may count on it.
        let mut changes = Vec::new();
        loop {
            // The lock is not held while anything is done.
            let action = self.shared.machine.lock().poll_action();
            match action {
                None => break,
                Some(Action::Probe { probe, id, port }) => self.probe(probe, id, port),
                Some(Action::Cancel(probe)) => {
                    if let Some(probing) = self.known.probing.remove(&probe) {
                        probing.abort();
                    }
                }
                Some(Action::Set { id, availability }) => availabilities.push((id, availability)),
                Some(Action::Weigh { id, percent }) => percents.push((id, percent)),
                Some(Action::Limit { id, limit }) => limits.push((id, limit)),
                Some(Action::Count) => self.tell(self.shared.signals.count()),
                Some(Action::Tell(change)) => changes.push(change),
            }
        }
        set(availabilities, |some| self.pool.set_availabilities(some));
        set(percents, |some| self.pool.set_weight_percents(some));
        set(limits, |some| self.pool.set_max_in_flight_all(some));
        for change in changes {
            self.shared.tell(&change);
        }
    }

    fn probe(&mut self, probe: ProbeId, id: EndpointId, port: Option<u16>) {
        // One that has left meanwhile needs no answer: the machine is about to hear of it.
        let Some(Member { address, .. }) = self.known.members.get(&id) else { return };
        let Some(what) = self.shared.probes.get(probe.check()).map(Arc::clone) else { return };
        let target = Target { id, address: address.to_string(), port };
        // Also what makes the future may panic.
        let looking = async move { what.probe(&target).await };
        let guarded = AssertUnwindSafe(looking).catch_unwind();
        let task = async move { (probe, guarded.await.unwrap_or(Err(ProbeError::Panicked))) };
        self.known.probing.insert(probe, self.probes.spawn(task));
    }
}

/// Sets all of it at once; where the strategy cannot live with that, one after the other, so that only what it really
/// refuses is lost. An endpoint that has left meanwhile is no error.
fn set<V: Copy>(all: Vec<(EndpointId, V)>, set: impl Fn(Vec<(EndpointId, V)>) -> Result<AppliedChanges, UpdateError>) {
    if all.is_empty() || set(all.clone()).is_ok() {
        return;
    }
    for one in all {
        if let Err(error) = set(vec![one.clone()]) {
            tracing::warn!(endpoint = %one.0, %error, "the pool refused a change of health");
        }
    }
}
