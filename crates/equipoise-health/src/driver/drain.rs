use std::time::Duration;

use equipoise_core::{Availability, EndpointId, Pool};

use super::health::Health;
use crate::machine::{AdminState, Condition, Source};

/// The result of draining an endpoint with [`Health::drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// All leases (requests) of the drained endpoint have ended. The endpoint can be removed from the pool, and its
    /// server can be stopped.
    Completed,
    /// The deadline of the drain passed before all leases (requests) of the endpoint ended. The endpoint gets no more
    /// requests. Stopping its server now aborts the requests that have not ended.
    DeadlineExceeded {
        /// The number of leases of the endpoint that had not ended at the deadline.
        in_flight: u32,
    },
    /// The pool has no endpoint with the id that was passed to [`Health::drain`]. No administrative state was set.
    UnknownEndpoint,
    /// The drain was cancelled, because an operator has set [`AdminState::Ready`] for the endpoint. The endpoint gets
    /// requests again, so do not remove it.
    Cancelled,
}

impl DrainOutcome {
    /// Returns the name of this value in snake case: `completed`, `deadline_exceeded`, `unknown_endpoint` or
    /// `cancelled`. The name never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::UnknownEndpoint => "unknown_endpoint",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Health {
    /// Drains an endpoint: sets [`AdminState::Drain`] and waits until all leases (requests) of the endpoint have ended.
    /// [`run`](Self::run) must be active during the drain, because it applies the state to the pool.
    ///
    /// During the drain, the endpoint gets only requests that are bound to it, such as those of its existing sessions.
    /// `deadline` is the maximum time of the drain, from its beginning. After this time, the endpoint gets no requests
    /// at all. With `None`, the drain has no deadline.
    ///
    /// The drain begins when the future is first polled. Dropping the future does not end the drain. The future ends
    /// when one of these events happens:
    ///
    /// - All leases of the endpoint have ended: [`DrainOutcome::Completed`].
    /// - The deadline has passed: [`DrainOutcome::DeadlineExceeded`].
    /// - An operator has set [`AdminState::Ready`] for the endpoint: [`DrainOutcome::Cancelled`].
    /// - The pool has no endpoint with this id: [`DrainOutcome::UnknownEndpoint`], at once.
    ///
    /// A drain never aborts a request, and neither does [`Pool::remove`]. The holder of a lease learns from
    /// [`Lease::draining`](equipoise_core::Lease::draining) that the drain begins, and from
    /// [`Lease::closing`](equipoise_core::Lease::closing) that the deadline has passed. The holder can then end tunnels
    /// and long response bodies.
    pub async fn drain<T: Send + Sync + 'static>(
        &self,
        pool: &Pool<T>,
        id: impl Into<EndpointId>,
        deadline: Option<Duration>,
    ) -> DrainOutcome {
        let id = id.into();
        if pool.availability(id.as_str()).is_none() {
            return DrainOutcome::UnknownEndpoint;
        }
        let mut idle = pool.idle(id.clone());
        self.set_admin_state(id.clone(), AdminState::Drain { deadline });
        let ended = async {
            // The endpoint may be idle before the drain reaches the pool, and then get new requests.
            let mut pool_knows = false;
            while !self.is_cancelled(&id) {
                let revision = pool.revision();
                let takes_new = |to| !matches!(to, Availability::Draining | Availability::Maintenance);
                pool_knows |= !pool.availability(id.as_str()).is_some_and(takes_new);
                tokio::select! {
                    biased;
                    () = &mut idle, if pool_knows => return,
                    _ = pool.changed(revision) => {}
                }
            }
        };
        let deadline = async {
            match deadline {
                Some(deadline) => tokio::time::sleep(deadline).await,
                None => std::future::pending().await,
            }
        };
        let in_time = tokio::select! { biased; () = ended => true, () = deadline => false };
        match in_time {
            _ if self.is_cancelled(&id) => DrainOutcome::Cancelled,
            true => DrainOutcome::Completed,
            false => DrainOutcome::DeadlineExceeded { in_flight: idle.in_flight() },
        }
    }

    /// Returns whether the endpoint has joined and has no condition from an operator.
    fn is_cancelled(&self, id: &EndpointId) -> bool {
        let by_operator = |condition: &Condition| condition.source == Source::Operator;
        self.status(id).is_some_and(|status| !status.conditions.iter().any(by_operator))
    }
}
