//! Strategies whose hooks write data that their picks read: the tournament tree of least connections, and the bit set
//! of first fit. Under loom, a node of the tree has two children, so that three endpoints form a tree of two levels.

use std::sync::Arc;

use equipoise_core::{EndpointId, EndpointSpec, FirstFit, Lease, LeastConnections, PickError, PickRequest, Pool};
use loom::{sync::Mutex, thread};

use crate::{in_flight, name, pick, pool};

/// The maximum number of preemptions. All schedules of a tree would take hours. Runs with more preemptions have found
/// no further error.
const PREEMPTIONS: usize = 3;

fn check(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(PREEMPTIONS));
    builder.max_branches = 20_000;
    builder.check(run);
}

fn three() -> Pool<u32> {
    pool(LeastConnections::new(), ["a", "b", "c"].map(EndpointSpec::new))
}

fn take(pool: &Pool<u32>, id: &str) -> Lease<u32> {
    let bound = EndpointId::from(id);
    pool.pick(&PickRequest::new().prefer(&bound)).expect("up")
}

/// Checks that each of the next picks returns an endpoint with the fewest leases.
fn is_exact(pool: &Pool<u32>) {
    let mut leases = Vec::new();
    for _ in 0..5 {
        let before = in_flight(pool);
        leases.push(pick(pool).expect("up"));
        let index = leases[leases.len() - 1].endpoint().slot().index();
        assert_eq!(Some(&before[index]), before.iter().min(), "{index} of {before:?}");
    }
}

#[test]
fn the_tournament_is_exact_after_two_threads_have_picked() {
    check(|| {
        let pool = three();
        let other = pool.clone();
        let thread = thread::spawn(move || pick(&other).expect("up"));
        let here = pick(&pool).expect("up");
        let there = thread.join().expect("no panic");
        is_exact(&pool);
        drop((here, there));
    });
}

/// An action of one of the two threads, after the leases of `held` were taken.
#[derive(Clone, Copy)]
enum Act {
    Take(&'static str),
    /// Ends the lease at this position of `held`.
    End(usize),
}

fn act(pool: &Pool<u32>, held: &[Mutex<Option<Lease<u32>>>], act: Act) -> Option<Lease<u32>> {
    match act {
        Act::Take(id) => Some(take(pool, id)),
        Act::End(at) => {
            drop(held[at].lock().expect("no panic").take());
            None
        }
    }
}

fn is_exact_after(held: &'static [&'static str], one: Act, other: Act) {
    check(move || {
        let pool = three();
        let held: Arc<[_]> = held.iter().map(|id| Mutex::new(Some(take(&pool, id)))).collect();
        let (there, theirs) = (pool.clone(), Arc::clone(&held));
        let thread = thread::spawn(move || act(&there, &theirs, one));
        let here = act(&pool, &held, other);
        let there = thread.join().expect("no panic");
        is_exact(&pool);
        drop((here, there, held));
    });
}

#[test]
fn the_tournament_is_exact_after_two_leases_were_taken_at_once() {
    is_exact_after(&[], Act::Take("a"), Act::Take("a"));
    is_exact_after(&[], Act::Take("a"), Act::Take("b"));
    is_exact_after(&["c"], Act::Take("a"), Act::Take("b"));
    is_exact_after(&["a", "b", "c", "c"], Act::Take("a"), Act::Take("b"));
}

#[test]
fn the_tournament_is_exact_after_two_leases_ended_at_once() {
    is_exact_after(&["a", "a", "b", "c"], Act::End(0), Act::End(1));
    is_exact_after(&["a", "b", "c"], Act::End(0), Act::End(1));
    is_exact_after(&["a", "b", "c"], Act::End(0), Act::End(2));
}

#[test]
fn the_tournament_is_exact_after_a_lease_ended_while_one_was_taken() {
    is_exact_after(&["a", "b", "c"], Act::End(0), Act::Take("a"));
    is_exact_after(&["a", "b", "c"], Act::End(0), Act::Take("b"));
    is_exact_after(&["a", "c"], Act::End(0), Act::Take("b"));
    is_exact_after(&["a", "c", "c"], Act::End(0), Act::Take("b"));
}

#[test]
fn a_tournament_built_while_a_lease_is_taken_or_ends_knows_of_it() {
    for act in [Act::Take("b"), Act::End(1)] {
        check(move || {
            let pool = three();
            let held: Arc<[_]> = ["a", "b", "c"].map(|id| Mutex::new(Some(take(&pool, id)))).into();
            let (there, theirs) = (pool.clone(), Arc::clone(&held));
            let thread = thread::spawn(move || self::act(&there, &theirs, act));
            pool.set_weight("a", 2).expect("known");
            pool.set_weight("a", 1).expect("known");
            let there = thread.join().expect("no panic");
            is_exact(&pool);
            drop((there, held));
        });
    }
}

#[test]
fn room_that_was_made_while_an_endpoint_was_found_full_is_seen() {
    check(|| {
        let pool = pool(FirstFit::new(), ["a", "b"].map(|id| EndpointSpec::new(id).max_in_flight(1)));
        let first = pick(&pool).expect("room");
        let thread = thread::spawn(move || drop(first));
        let meanwhile = pick(&pool).expect("room");
        thread.join().expect("no panic");
        let then = pick(&pool).expect("room");
        assert_ne!(name(&meanwhile), name(&then));
        assert!(matches!(pick(&pool), Err(PickError::Saturated)));
    });
}
