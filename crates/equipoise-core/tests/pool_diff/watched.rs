//! A strategy that wraps another one and records the calls of its hooks, to check what the pool guarantees.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use equipoise_core::{
    BuildError, Endpoint, EndpointSpec, Needs, PickCx, PickRequest, Picker, Slot, Strategy, View, forward_hooks,
};
use parking_lot::Mutex;

/// The values recorded by the hooks and builds so far.
#[derive(Default)]
pub(crate) struct Observed {
    /// The slot and weight of each endpoint that was in a view since this map was last emptied.
    pub(crate) members: Mutex<BTreeMap<String, (usize, u32)>>,
    pub(crate) states: AtomicU32,
    pub(crate) acquired: AtomicU32,
    pub(crate) released: AtomicU32,
}

/// Forwards every call to `inner`, and records it in `observed`.
pub(crate) struct Watched<S> {
    pub(crate) inner: S,
    pub(crate) observed: Arc<Observed>,
}

pub(crate) struct WatchedPicker<P> {
    inner: P,
    eligible: Vec<Slot>,
}

impl<S: Strategy> Strategy for Watched<S> {
    type State = S::State;
    type Picker = WatchedPicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> S::State {
        self.observed.states.fetch_add(1, Ordering::Relaxed);
        self.inner.state(spec)
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let mut members = self.observed.members.lock();
        for &slot in view.members() {
            assert!(slot.index() < view.capacity());
            let endpoint = view.endpoint(slot).expect("a member");
            assert_eq!(endpoint.slot(), slot);
            assert!(view.state::<S::State>(slot).is_some());
            members.insert(endpoint.id().to_string(), (slot.index(), view.weight(slot)));
        }
        assert!(view.eligible().iter().all(|slot| view.members().contains(slot) && view.weight(*slot) > 0));
        let inner = self.inner.build(view, last.map(|last| &last.inner))?;
        Ok(WatchedPicker { inner, eligible: view.eligible().to_vec() })
    }

    fn needs(&self) -> Needs {
        self.inner.needs().leases()
    }

    fn admit(&self, state: &S::State, endpoint: &Endpoint, request: &PickRequest<'_>) -> bool {
        self.observed.acquired.fetch_add(1, Ordering::Relaxed);
        self.inner.admit(state, endpoint, request)
    }

    fn on_release(&self, state: &S::State, endpoint: &Endpoint) {
        self.observed.released.fetch_add(1, Ordering::Relaxed);
        self.inner.on_release(state, endpoint);
    }

    forward_hooks!(self.inner; except admit, on_release);
}

impl<P: Picker> Picker for WatchedPicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        assert_eq!(cx.view().eligible(), self.eligible, "a picker is used with the view that it was built for");
        self.inner.pick(cx)
    }
}
