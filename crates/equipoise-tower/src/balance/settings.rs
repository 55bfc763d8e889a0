use std::time::Duration;

use equipoise_core::Pool;

use super::unready::Unready;
use crate::observe::Observer;

/// What all clones of a balancer and all of its requests share.
pub(super) struct Core<T, P> {
    pub(super) pool: Pool<T>,
    pub(super) settings: Settings<P>,
    pub(super) unready: Unready,
}

#[derive(Clone, Debug)]
pub(super) struct Settings<P> {
    pub(super) protocol: P,
    pub(super) max_attempts: usize,
    pub(super) queue_timeout: Option<Duration>,
    pub(super) ready_timeout: Duration,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) observer: Observer,
}

impl<P> Settings<P> {
    pub(super) fn new(protocol: P) -> Self {
        Self {
            protocol,
            // HAProxy's default: three retries.
            max_attempts: 4,
            queue_timeout: None,
            // Half of a caller's patience of 100 ms is left for the second endpoint.
            ready_timeout: Duration::from_millis(50),
            attempt_timeout: None,
            observer: Observer::default(),
        }
    }
}
