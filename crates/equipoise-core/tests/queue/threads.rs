//! Many threads wait, give up, pick and change the pool. The tests fail if a wake-up is lost, if a request overtakes
//! another one, or if the attempts do not end.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
};

use equipoise_core::{
    AnyStrategy, Availability, Binding, BoundedLoad, Entropy, Lease, P2c, PickError, Pool, Ring, RoundRobin,
    SeededEntropy, ZoneAware,
};
use parking_lot::Mutex;

use crate::{
    Waiter, any,
    common::{at, id, in_flight, spec},
    counted, waits,
};

const ENDPOINTS: usize = 4;
const THREADS: u64 = 4;

/// The data that the threads of one run share.
struct Run {
    pool: Pool<()>,
    /// Gives a number to each start of a request and each start of a wait, so that they can be ordered.
    clock: AtomicU64,
    /// For each endpoint, the start numbers of the waiting requests that can use no other endpoint.
    bound: [Mutex<BTreeSet<u64>>; ENDPOINTS],
    held: [AtomicU32; ENDPOINTS],
    done: AtomicUsize,
    changes: AtomicUsize,
}

impl Run {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Called when a request that started at `began` has got a lease. Each endpoint has a limit of 1. If an earlier
    /// request for the same endpoint had been served, it would hold the capacity.
    fn got(&self, lease: Lease<()>, began: u64, mine: Option<(usize, u64)>) {
        let slot = at(&lease);
        assert_eq!(self.held[slot].fetch_add(1, Ordering::SeqCst), 0, "a limit of 1");
        {
            let mut bound = self.bound[slot].lock();
            if let Some((endpoint, since)) = mine {
                assert_eq!(endpoint, slot);
                bound.remove(&since);
            }
            let overtaken = bound.first().filter(|&&since| since < began);
            assert_eq!(overtaken, None, "an overtaking at {slot} by a request that began at {began}");
        }
        thread::yield_now();
        self.held[slot].fetch_sub(1, Ordering::SeqCst);
        drop(lease);
    }

    fn works(&self, seed: u64, waits: usize) {
        let dice = SeededEntropy::new(seed);
        let below = |n: u64| dice.next_u64() % n;
        while self.done.fetch_add(1, Ordering::Relaxed) < waits {
            let endpoint = below(ENDPOINTS as u64) as usize;
            let (strict, loose) = (Binding::to(id(endpoint)).strict(), Binding::to(id(endpoint)));
            let excluded = [id(endpoint)];
            let key = below(100).to_le_bytes();
            let (request, only) = match below(8) {
                0..4 => (any().bound(&strict), true),
                4 => (any().bound(&loose), false),
                5 => (any().exclude(&excluded), false),
                6 => (any().key(&key), false),
                _ => (any(), false),
            };
            let began = self.tick();
            if below(8) == 0 {
                match self.pool.pick(&request) {
                    Ok(lease) => self.got(lease, began, None),
                    Err(error) => assert!(error.is_temporary(), "{error}"),
                }
                continue;
            }
            let mut waiter = Waiter::new(self.pool.acquire(&request));
            match waiter.poll() {
                Poll::Ready(lease) => self.got(lease.unwrap(), began, None),
                Poll::Pending => {
                    let mine = only.then(|| (endpoint, self.tick()));
                    if let Some((endpoint, since)) = mine {
                        self.bound[endpoint].lock().insert(since);
                    }
                    if below(4) == 0 {
                        if let Some((endpoint, since)) = mine {
                            self.bound[endpoint].lock().remove(&since);
                        }
                        continue;
                    }
                    waiter.wait();
                    let Poll::Ready(lease) = waiter.poll() else { panic!("woken in vain") };
                    self.got(lease.unwrap(), began, mine);
                    assert_eq!(waiter.rung(), 1, "woken once");
                }
            }
        }
    }

    fn changes(&self, stop: &AtomicBool) {
        let dice = SeededEntropy::new(99);
        while !stop.load(Ordering::Relaxed) {
            let at = id((dice.next_u64() % ENDPOINTS as u64) as usize);
            self.pool.set_availability(at.clone(), Availability::Maintenance).unwrap();
            thread::yield_now();
            self.pool.set_availability(at, Availability::Up).unwrap();
            self.changes.fetch_add(2, Ordering::Relaxed);
            thread::yield_now();
        }
    }
}

#[test]
fn threads_that_wait_lose_no_wake_up_overtake_none_and_do_not_spin() {
    let strategies: [(AnyStrategy, usize); 5] = [
        (AnyStrategy::new(RoundRobin::new()), 1),
        (AnyStrategy::new(P2c::new()), 1),
        (AnyStrategy::new(Ring::new()), 1),
        (AnyStrategy::new(ZoneAware::new(P2c::new(), "here")), 1),
        (AnyStrategy::new(BoundedLoad::new(RoundRobin::new()).factor(2.0).unwrap()), 8),
    ];
    let each = waits() / strategies.len();
    for (strategy, share) in strategies {
        let name = format!("{strategy:?}");
        let (strategy, picks) = counted(strategy);
        let pool: Pool<()> = Pool::<()>::builder(strategy).panic_threshold(0.0).build();
        let zones = |at: usize| if at == 0 { "here" } else { "there" };
        pool.update((0..ENDPOINTS).map(|at| spec(at).max_in_flight(1).zone(zones(at))), |_| ()).unwrap();
        let run = Run {
            pool,
            clock: AtomicU64::new(0),
            bound: Default::default(),
            held: Default::default(),
            done: AtomicUsize::new(0),
            changes: AtomicUsize::new(0),
        };
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let run = &run;
            let changes = scope.spawn(|| run.changes(&stop));
            let threads: Vec<_> = (0..THREADS).map(|seed| scope.spawn(move || run.works(seed, each))).collect();
            let ends: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            stop.store(true, Ordering::Relaxed);
            changes.join().unwrap();
            ends.into_iter().for_each(|end| end.unwrap());
        });
        assert!(in_flight(&run.pool).iter().all(|&count| count == 0));
        drop(run.pool.pick(&any()).unwrap());
        // The expected number of attempts: one for each request, one for each release, and after a change one for each
        // group. There may be eight groups.
        let (picks, changes) = (picks.load(Ordering::Relaxed), run.changes.load(Ordering::Relaxed));
        let most = share * (8 * each + 16 * changes);
        assert!(picks < most, "{name}: {picks} attempts in {each} waits and {changes} changes");
    }
}

#[test]
fn concurrent_picks_are_not_refused_as_saturated_while_there_is_capacity() {
    for factor in [1.0, 1.25] {
        let pool: Pool<()> = Pool::new(BoundedLoad::new(RoundRobin::new()).factor(factor).unwrap());
        pool.update([spec(0)], |_| ()).unwrap();
        let pool = &pool;
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(move || {
                    for _ in 0..waits() {
                        let lease = pool.pick(&any());
                        assert!(!matches!(lease, Err(PickError::Saturated)), "at a factor of {factor}");
                    }
                });
            }
        });
    }
}

#[test]
fn a_place_given_back_while_a_request_joins_the_queue_is_not_lost() {
    let pool: Pool<()> = Pool::new(RoundRobin::new());
    pool.update([spec(0).max_in_flight(1)], |_| ()).unwrap();
    let pool = Arc::new(pool);
    for _ in 0..waits() / 4 {
        let held = pool.pick(&any()).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut waiter = Waiter::new(pool.acquire(&any()));
                if waiter.poll().is_pending() {
                    waiter.wait();
                    drop(waiter.ready());
                }
            });
            drop(held);
        });
    }
}
