use std::{sync::Arc, time::Duration};

use equipoise::{
    BuildError, Endpoint, EndpointId, EndpointSpec, Needs, PickCx, PickRequest, Picker, Slot, Strategy, Timestamp,
    Verdict, View,
};
use tokio::sync::watch;

/// A strategy for tests. It picks the endpoint whose id is the key of the request, otherwise the first usable endpoint
/// in the order in which endpoints joined. It records the hooks that the pool calls. Clones share the records.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    log: Arc<watch::Sender<Log>>,
}

/// The records of a [`Recorder`].
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The endpoints of all leases, in the order of their begin.
    pub acquired: Vec<String>,
    /// The endpoints of ended leases, in the order of their end.
    pub released: Vec<String>,
    /// The verdicts with their endpoints, in order.
    pub verdicts: Vec<(String, Verdict)>,
    /// All calls of hooks in order, at whatever endpoint.
    pub hooks: Vec<Hook>,
}

/// A call of a hook of [`Recorder`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `admit`: a lease begins.
    Admit,
    /// `on_latency`: the first byte of a response.
    Latency,
    /// `on_outcome`, with the verdict.
    Outcome(Verdict),
    /// `on_abandon`: a lease ends with neither.
    Abandon,
    /// `on_release`: a lease ends.
    Release,
}

impl Recorder {
    /// Creates a recorder without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the records so far.
    pub fn log(&self) -> Log {
        self.log.borrow().clone()
    }

    /// Returns the verdicts so far with their endpoints.
    pub fn verdicts(&self) -> Vec<(String, Verdict)> {
        self.log.borrow().verdicts.clone()
    }

    /// Waits until this condition holds for the records, and returns them.
    pub async fn until(&self, wanted: impl FnMut(&Log) -> bool) -> Log {
        let mut log = self.log.subscribe();
        match log.wait_for(wanted).await {
            Ok(log) => log.clone(),
            // The sender lives as long as `self`.
            Err(_) => self.log(),
        }
    }
}

impl Strategy for Recorder {
    type State = EndpointId;
    type Picker = FirstOrKey;

    fn state(&self, spec: &EndpointSpec) -> EndpointId {
        spec.id().clone()
    }

    fn build(&self, view: &View, _: Option<&FirstOrKey>) -> Result<FirstOrKey, BuildError> {
        Ok(FirstOrKey(view.eligible().into()))
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().outcomes().leases()
    }

    fn admit(&self, id: &EndpointId, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        self.log.send_modify(|log| {
            log.acquired.push(id.to_string());
            log.hooks.push(Hook::Admit);
        });
        true
    }

    fn on_release(&self, id: &EndpointId, _: &Endpoint) {
        self.log.send_modify(|log| {
            log.released.push(id.to_string());
            log.hooks.push(Hook::Release);
        });
    }

    fn on_latency(&self, _: &EndpointId, _: Duration, _: Timestamp) {
        self.log.send_modify(|log| log.hooks.push(Hook::Latency));
    }

    fn on_abandon(&self, _: &EndpointId, _: Duration, _: Timestamp) -> bool {
        self.log.send_modify(|log| log.hooks.push(Hook::Abandon));
        false
    }

    fn on_outcome(&self, id: &EndpointId, verdict: Verdict, _: Timestamp) {
        self.log.send_modify(|log| {
            log.verdicts.push((id.to_string(), verdict));
            log.hooks.push(Hook::Outcome(verdict));
        });
    }
}

/// Picks for [`Recorder`]: the endpoint that the key names, otherwise the first usable one.
#[derive(Debug)]
pub struct FirstOrKey(Box<[Slot]>);

impl Picker for FirstOrKey {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let (key, view) = (cx.key(), cx.view());
        let named = |slot: Slot| view.endpoint(slot).map(|endpoint| endpoint.id().as_str().as_bytes());
        let keyed = self.0.iter().copied().find(|&slot| key.is_some() && named(slot) == key);
        keyed.into_iter().chain(self.0.iter().copied()).find(|&slot| cx.usable(slot))
    }
}
