use std::time::Duration;

use equipoise_core::{Availability, EndpointId, Pool};

use super::health::Health;
use crate::machine::{AdminState, Condition, Source};

/// The result of a [drain](Health::drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// The last lease has ended. The endpoint can be removed.
    Completed,
    /// The deadline passed before the last lease ended. The endpoint gets no more requests. It can be removed if the
    /// remaining requests may be given up.
    DeadlineExceeded {
        /// The number of leases that have not ended.
        in_flight: u32,
    },
    /// The pool has no endpoint of this id. Its administrative state was not changed.
    UnknownEndpoint,
    /// An operator has set [`AdminState::Ready`] meanwhile. Do not remove the endpoint.
    Cancelled,
}

impl DrainOutcome {
    /// A stable label in snake case, such as `deadline_exceeded`.
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
    /// Drains an endpoint: sets [`AdminState::Drain`] and waits for its last lease. [`run`](Self::run) must be active.
    ///
    /// The endpoint gets no new requests, except those that are bound to it. After `deadline` it gets none at all; `None`
    /// means no limit.
    ///
    /// The future ends when the last lease has ended, at the deadline, or when an operator sets [`AdminState::Ready`]. The
    /// result says which. The drain begins when the future is first polled. Dropping the future does not end the drain.
    ///
    /// [`Lease::draining`](equipoise_core::Lease::draining) tells the holders of leases that the drain begins, and
    /// [`Lease::closing`](equipoise_core::Lease::closing) tells them of the deadline, so that tunnels and long bodies can
    /// end. A drain never cuts off a request, and neither does [`Pool::remove`].
    ///
    /// If the pool has no endpoint of this id, the result is [`DrainOutcome::UnknownEndpoint`].
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
            // The endpoint may be idle before the pool knows of the drain, and then get new requests.
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

    /// Whether the endpoint is known and has no condition from an operator.
    fn is_cancelled(&self, id: &EndpointId) -> bool {
        let by_operator = |condition: &Condition| condition.source == Source::Operator;
        self.status(id).is_some_and(|status| !status.conditions.iter().any(by_operator))
    }
}
