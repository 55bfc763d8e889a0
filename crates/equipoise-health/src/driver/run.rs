use std::{
    collections::{BTreeMap, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
};

use equipoise_core::{Availability, EndpointId, Pool, Revision};
use futures::{
    FutureExt, StreamExt,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use tokio::{
    task::JoinHandle,
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

type Probed = (ProbeId, Result<Result<Answer, ProbeError>, Aborted>);

pub(super) struct Runner<T> {
    shared: Arc<Shared>,
    pool: Pool<T>,
    /// By id: the address that the machine knows it at.
    members: BTreeMap<EndpointId, String>,
    seen: Option<Revision>,
    probing: FuturesUnordered<BoxFuture<'static, Probed>>,
    cancels: HashMap<ProbeId, AbortHandle>,
}

impl<T: Send + Sync + 'static> Runner<T> {
    pub(super) fn new(shared: Arc<Shared>, pool: Pool<T>) -> Self {
        Self {
            shared,
            pool,
            members: BTreeMap::new(),
            seen: None,
            probing: FuturesUnordered::new(),
            cancels: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            let revision = self.pool.revision();
            if self.seen != Some(revision) {
                self.seen = Some(revision);
                self.meet_members();
            }
            self.hear_signals();
            self.shared.machine.lock().handle_timeout(self.shared.now());
            self.act();
            self.wait(revision).await;
        }
    }

    /// Until something may have happened.
    async fn wait(&mut self, revision: Revision) {
        let timeout = self.shared.machine.lock().poll_timeout();
        let now = self.shared.now();
        let at = timeout.map(|at| Instant::now() + at.since(now));
        let shared = Arc::clone(&self.shared);
        let waits_for_nothing = self.probing.is_empty();
        tokio::select! {
            () = async { match at { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
            () = shared.wake.notified() => {}
            _ = self.pool.changed(revision) => {}
            probed = self.probing.next(), if !waits_for_nothing => {
                if let Some((probe, Ok(result))) = probed {
                    self.cancels.remove(&probe);
                    shared.machine.lock().handle(shared.now(), Event::Probed { probe, result });
                }
            }
        }
    }

    /// Tells the machine who has come, gone or moved.
    fn meet_members(&mut self) {
        let now = self.shared.now();
        let present: BTreeMap<EndpointId, String> =
            self.pool.endpoints().into_iter().map(|endpoint| (endpoint.id, endpoint.address)).collect();
        if present == self.members {
            return;
        }
        let mut machine = self.shared.machine.lock();
        for id in self.members.keys().filter(|id| !present.contains_key(*id)) {
            machine.handle(now, Event::Left(id.clone()));
        }
        for (id, address) in &present {
            if self.members.get(id) != Some(address) {
                machine.handle(now, Event::Joined(id.clone()));
            }
        }
        drop(machine);
        self.members = present;
    }

    fn hear_signals(&self) {
        for signals in self.shared.board.raised() {
            // Not what somebody says who has left, or moved.
            let speaks = self.shared.board.get(signals.id()).is_some_and(|now| Arc::ptr_eq(&now, &signals));
            for signal in signals.take().filter(|_| speaks) {
                let event = Event::Signalled { id: signals.id().clone(), signal };
                self.shared.machine.lock().handle(self.shared.now(), event);
            }
        }
    }

    fn act(&mut self) {
        loop {
            // The lock is not held while anything is done.
            let action = self.shared.machine.lock().poll_action();
            match action {
                None => return,
                Some(Action::Probe { probe, id, port }) => self.probe(probe, id, port),
                Some(Action::Cancel(probe)) => {
                    if let Some(cancel) = self.cancels.remove(&probe) {
                        cancel.abort();
                    }
                }
                Some(Action::Set { id, availability }) => self.set(id, availability),
                Some(Action::Weigh { id, percent }) => {
                    self.refused(&id, self.pool.set_weight_percent(id.clone(), percent))
                }
                Some(Action::Limit { id, limit }) => self.refused(&id, self.pool.set_limit(id.clone(), limit)),
                Some(Action::Count) => {
                    let counted = Event::Counted(self.shared.board.count());
                    self.shared.machine.lock().handle(self.shared.now(), counted);
                }
                Some(Action::Tell(change)) => self.shared.tell(&change),
            }
        }
    }

    fn set(&self, id: EndpointId, availability: Availability) {
        if availability == Availability::Trial
            && let Some(signals) = self.shared.board.get(&id)
        {
            signals.try_out();
        }
        self.refused(&id, self.pool.set_availability(id.clone(), availability));
    }

    /// An endpoint that has left meanwhile is no error; a strategy that cannot live with the change is worth a word.
    fn refused<R, E: std::fmt::Display>(&self, id: &EndpointId, result: Result<R, E>) {
        if let Err(error) = result {
            tracing::warn!(endpoint = %id, %error, "the pool refused a change of health");
        }
    }

    fn probe(&mut self, probe: ProbeId, id: EndpointId, port: Option<u16>) {
        let (Some(what), Some(address)) = (self.shared.probes.get(probe.check()), self.members.get(&id)) else {
            return;
        };
        let (what, target) = (Arc::clone(what), Target { id, address: address.clone(), port });
        let looking = async move { what.probe(&target).await };
        let guarded = AssertUnwindSafe(looking).catch_unwind().map(|done| done.unwrap_or(Err(ProbeError::Panicked)));
        let (cancel, registration) = AbortHandle::new_pair();
        self.cancels.insert(probe, cancel);
        self.probing.push(Abortable::new(guarded, registration).map(move |result| (probe, result)).boxed());
    }
}
