//! A request that waits in the queue of the pool of its client, and the channel of the waiting requests that were woken.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, Sender},
    },
    task::{Wake, Waker},
};

use equipoise_core::Acquire;

use super::{draw::Draw, events::Nanos};

/// A request that waits in the queue until an endpoint can take it.
pub(super) struct Waiting {
    pub(super) lease: Acquire<u32>,
    /// The costs of the attempt that is sent once there is an endpoint.
    pub(super) draw: Draw,
    /// The time at which the queue timeout of the request is over.
    pub(super) until: Nanos,
    pub(super) waker: Waker,
}

/// The channel of waiting requests that were woken and not polled since, in the order of their wakes. Each is the slab
/// entry and the number of a request.
pub(super) type Woken = (Sender<(u32, u32)>, Receiver<(u32, u32)>);

pub(super) struct Wakes {
    pub(super) call: u32,
    pub(super) number: u32,
    pub(super) woken: Sender<(u32, u32)>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        // The receiver is gone once the run is over.
        let _ = self.woken.send((self.call, self.number));
    }
}
