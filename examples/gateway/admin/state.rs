//! What the gateway runs, for the admin interface.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use equipoise::monitor::Monitor;
use parking_lot::{Mutex, MutexGuard};

use super::access::Access;
use crate::{
    backend::Backend,
    functions::Functions,
    serving::{AnyServer, Serving},
};

/// What the gateway runs now.
#[derive(Default)]
pub(crate) struct State {
    /// The text of the configuration.
    pub(crate) text: String,
    pub(crate) pools: BTreeMap<String, Backend>,
    pub(crate) listeners: Vec<ListenerState>,
    pub(crate) access: Access,
    pub(crate) functions: Functions,
}

pub(crate) struct ListenerState {
    /// The configured address.
    pub(crate) bind: SocketAddr,
    /// The address of the socket.
    pub(crate) address: SocketAddr,
    pub(crate) serving: Serving,
}

impl ListenerState {
    /// Returns the name in metrics and on the status page: the address, and `/udp` if the listener gets datagrams, because
    /// another one may get connections at the same address.
    pub(super) fn name(&self) -> String {
        match self.serving.server {
            AnyServer::Udp(_) => format!("{}/udp", self.address),
            _ => self.address.to_string(),
        }
    }
}

/// The state of the gateway, which each reload replaces.
#[derive(Default)]
pub(crate) struct Running {
    state: ArcSwap<State>,
    commands: Mutex<()>,
    /// What the status page and the metrics read, and where events are recorded.
    pub(crate) monitor: Monitor,
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
