use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use equipoise_core::{AppliedChanges, EndpointId, EndpointStatus, Pool, Revision, UpdateError};
use futures::FutureExt;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::shared::{Known, Member, Shared};
use crate::{
    machine::{Action, Event, ProbeId},
    probe::{ProbeError, ProbeOutcome, Target},
};

type Probed = (ProbeId, Result<ProbeOutcome, ProbeError>);

/// One call of `Health::run`: it connects the health state machine with a pool.
pub(super) struct Runner<'a, T> {
    shared: &'a Shared,
    pool: &'a Pool<T>,
    known: &'a mut Known,
    seen: Option<Revision>,
    /// The running probes. Each one is a task of its own, so that a probe that blocks its thread does not delay the
    /// others. The tasks end when the `Runner` is dropped.
    probes: JoinSet<Probed>,
}

impl<'a, T: Send + Sync + 'static> Runner<'a, T> {
    pub(super) fn new(shared: &'a Shared, pool: &'a Pool<T>, known: &'a mut Known) -> Self {
        Self { shared, pool, known, seen: None, probes: JoinSet::new() }
    }

    pub(super) async fn run(mut self) {
        for probe in std::mem::take(&mut self.known.probes).into_keys() {
            self.handle(Event::Probed { probe, result: Ok(ProbeOutcome::Inconclusive("interrupted".into())) });
        }
        // The pool may be another one than in the last run.
        self.shared.machine.lock().republish();
        loop {
            let revision = self.pool.revision();
            self.update_members();
            // Handled before the timeouts: a probe that ended in time must not count as late because the driver is
            // late.
            while let Some(ended) = self.probes.try_join_next() {
                self.probed(ended);
            }
            for event in self.shared.collector.take() {
                self.handle(event);
            }
            self.shared.machine.lock().handle_timeout(self.shared.now());
            self.act();
            self.wait(revision).await;
        }
    }

    fn handle(&self, event: Event) {
        self.shared.machine.lock().handle(self.shared.now(), event);
    }

    /// Waits until there may be something to do: a timer, a wake-up by requests or operators, a change of the pool,
    /// or the end of a probe.
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
        // The error means that the probe was cancelled.
        if let Ok((probe, result)) = ended {
            self.known.probes.remove(&probe);
            self.handle(Event::Probed { probe, result });
        }
    }

    /// Reports to the health state machine which endpoints have joined, left or changed their address.
    fn update_members(&mut self) {
        let membership = self.pool.membership();
        if self.seen.replace(membership) == Some(membership) {
            return;
        }
        let member = |endpoint: EndpointStatus| {
            (endpoint.id, Member { joined: endpoint.joined, address: endpoint.address.into() })
        };
        let present: BTreeMap<EndpointId, Member> = self.pool.endpoints().into_iter().map(member).collect();
        for id in self.known.members.keys().filter(|id| !present.contains_key(*id)) {
            self.handle(Event::Left(id.clone()));
        }
        for (id, _) in present.iter().filter(|(id, member)| self.known.members.get(*id) != Some(member)) {
            self.handle(Event::Joined(id.clone()));
        }
        self.known.members = present;
        let collector = &self.shared.collector;
        if collector.rules().is_some() && !self.known.members.is_empty() && !collector.has_endpoints() {
            let pool = self.shared.name();
            tracing::warn!(
                pool,
                "outlier detection has no effect: the pool's strategy is not wrapped by Health::watch"
            );
        }
    }

    /// Carries out the actions of the health state machine.
    fn act(&mut self) {
        // These are applied together, because many changes of the pool cost as much as one.
        let (mut availabilities, mut weights, mut limits) = (Vec::new(), Vec::new(), Vec::new());
        // These are sent after the pool has changed, so that listeners see its new state.
        let mut changes = Vec::new();
        loop {
            // This is a statement of its own, so that the lock is released before the action is carried out.
            let action = self.shared.machine.lock().poll_action();
            match action {
                None => break,
                Some(Action::Probe { probe, id, port }) => self.probe(probe, id, port),
                Some(Action::CancelProbe(probe)) => {
                    if let Some(task) = self.known.probes.remove(&probe) {
                        task.abort();
                    }
                }
                Some(Action::SetAvailability { id, availability }) => availabilities.push((id, availability)),
                Some(Action::SetWeightPercent { id, percent }) => weights.push((id, percent)),
                Some(Action::SetMaxInFlight { id, max_in_flight }) => limits.push((id, max_in_flight)),
                Some(Action::CollectCounts) => self.handle(self.shared.collector.count()),
                Some(Action::Notify(change)) => changes.push(change),
            }
        }
        let name = self.shared.name();
        apply(name, availabilities, |some| self.pool.set_availabilities(some));
        apply(name, weights, |some| self.pool.set_weight_percents(some));
        apply(name, limits, |some| self.pool.set_max_in_flight_all(some));
        for change in changes {
            self.shared.listeners.notify(name, &change);
        }
    }

    fn probe(&mut self, probe: ProbeId, id: EndpointId, port: Option<u16>) {
        // If the endpoint has just left, the health state machine does not need a result.
        let Some(Member { address, .. }) = self.known.members.get(&id) else { return };
        let Some(implementation) = self.shared.probes.lock().get(probe.check()).map(Arc::clone) else { return };
        let mut target = Target::new(id, &**address);
        target.port = port;
        // The call that creates the future may panic as well.
        let result = AssertUnwindSafe(async move { implementation.probe(&target).await }).catch_unwind();
        let task = async move { (probe, result.await.unwrap_or(Err(ProbeError::Panicked))) };
        self.known.probes.insert(probe, self.probes.spawn(task));
    }
}

/// Applies all changes at once. If the pool's strategy refuses them, applies them one by one, so that only the
/// refused ones are lost. Changes of endpoints that have left are ignored.
fn apply<V: Copy>(
    pool: Option<&str>,
    changes: Vec<(EndpointId, V)>,
    set: impl Fn(Vec<(EndpointId, V)>) -> Result<AppliedChanges, UpdateError>,
) {
    if changes.is_empty() || set(changes.clone()).is_ok() {
        return;
    }
    for change in changes {
        if let Err(error) = set(vec![change.clone()]) {
            tracing::warn!(pool, endpoint = %change.0, %error, "the pool refused a change of health");
        }
    }
}
