//! What the gateway runs, for the admin interface.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};

use crate::{backend::Backend, serving::Serving};

/// What the gateway runs now.
#[derive(Default)]
pub(crate) struct State {
    /// The text of the configuration.
    pub(crate) text: String,
    pub(crate) pools: BTreeMap<String, Backend>,
    pub(crate) listeners: Vec<ListenerState>,
}

pub(crate) struct ListenerState {
    /// The configured address.
    pub(crate) bind: SocketAddr,
    pub(crate) serving: Serving,
}

/// The state of the gateway, which each reload replaces.
#[derive(Default)]
pub(crate) struct Running {
    state: ArcSwap<State>,
    commands: Mutex<()>,
}

impl Running {
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    pub(crate) fn replace(&self, state: State) {
        self.state.store(Arc::new(state));
    }

    /// Lets commands wait until the guard is dropped.
    pub(crate) fn hold_commands(&self) -> MutexGuard<'_, ()> {
        self.commands.lock()
    }
}
