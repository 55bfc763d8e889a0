//! Observers: they receive an event for each step of a request through a balancer, for metrics, traces and logs.

mod event;
mod observer;
mod report;
mod several;

pub(crate) use self::report::{ObservedAttempt, ObservedRequest, ObservedWait, Observer, PollScope};
pub use self::{
    event::{AttemptEnd, BodyEnd, EventKind, QueueEnd, RequestEvent, RequestId, RequestOutcome},
    observer::{Observe, ObserveRequest, RequestStart},
    report::BodyObserver,
};
