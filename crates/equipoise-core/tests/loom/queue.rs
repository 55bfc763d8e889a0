//! The queue: capacity that is given to waiting requests while other requests come and go.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use equipoise_core::{Acquire, EndpointSpec, Lease, PickError, PickRequest, Pool, RoundRobin};
use loom::thread;

use crate::{in_flight, pick, pool};

/// The maximum number of preemptions. All schedules of two threads that use the queue several times would take hours.
const PREEMPTIONS: usize = 2;

fn check(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(PREEMPTIONS));
    builder.max_branches = 20_000;
    builder.check(run);
}

fn one() -> Pool<u32> {
    pool(RoundRobin::new(), [EndpointSpec::new("a").max_in_flight(1)])
}

fn poll(acquire: &mut Acquire<u32>) -> Poll<Result<Lease<u32>, PickError>> {
    Pin::new(acquire).poll(&mut Context::from_waker(Waker::noop()))
}

/// Returns the lease of a future: from its first poll, or from its next poll if it has got the lease since.
fn finished(mut acquire: Acquire<u32>, first: Poll<Result<Lease<u32>, PickError>>) -> Lease<u32> {
    let outcome = if first.is_ready() { first } else { poll(&mut acquire) };
    match outcome {
        Poll::Ready(lease) => lease.expect("room"),
        Poll::Pending => panic!("a lost wake-up"),
    }
}

#[test]
fn a_release_while_a_request_joins_the_queue_is_not_lost() {
    check(|| {
        let pool = one();
        let held = pick(&pool).expect("room");
        let thread = thread::spawn(move || drop(held));
        let mut next = pool.acquire(&PickRequest::new());
        let first = poll(&mut next);
        thread.join().expect("no panic");
        drop(finished(next, first));
        assert_eq!(in_flight(&pool), [0]);
    });
}

#[test]
fn a_place_handed_to_a_request_that_leaves_goes_to_the_next() {
    check(|| {
        let pool = one();
        let held = pick(&pool).expect("room");
        let [mut leaves, mut stays] = [(); 2].map(|()| pool.acquire(&PickRequest::new()));
        assert!(poll(&mut leaves).is_pending());
        let pending = poll(&mut stays);
        assert!(pending.is_pending());
        let thread = thread::spawn(move || drop(leaves));
        drop(held);
        thread.join().expect("no panic");
        drop(finished(stays, pending));
        assert_eq!(in_flight(&pool), [0]);
    });
}

#[test]
fn two_requests_that_join_while_a_place_is_given_back_get_it_one_after_the_other() {
    check(|| {
        let pool = one();
        let held = pick(&pool).expect("room");
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let mut next = other.acquire(&PickRequest::new());
            let first = poll(&mut next);
            (next, first)
        });
        let mut here = pool.acquire(&PickRequest::new());
        let first = poll(&mut here);
        drop(held);
        let (there, their_first) = thread.join().expect("no panic");
        // Either request may be first. The second one gets its lease when the first lease has ended.
        let (mut ended, mut here, mut there) = (0, (here, first), (there, their_first));
        for _ in 0..2 {
            for (acquire, state) in [&mut here, &mut there] {
                if state.is_pending() {
                    *state = poll(acquire);
                }
                if matches!(state, Poll::Ready(Ok(_))) {
                    *state = Poll::Ready(Err(PickError::Empty));
                    ended += 1;
                }
            }
        }
        assert_eq!(ended, 2, "a lost wake-up");
        assert_eq!(in_flight(&pool), [0]);
    });
}

#[test]
fn a_limit_that_is_raised_while_a_request_joins_the_queue_is_not_lost() {
    check(|| {
        let pool = one();
        let _held = pick(&pool).expect("room");
        let other = pool.clone();
        let thread = thread::spawn(move || assert!(other.set_max_in_flight("a", Some(2)).expect("known")));
        let mut next = pool.acquire(&PickRequest::new());
        let first = poll(&mut next);
        thread.join().expect("no panic");
        drop(finished(next, first));
    });
}
