//! Random waits, releases, cancellations and changes on one thread. After each step, the pool is compared with a model.

use std::task::Poll;

use equipoise_core::{
    AnyStrategy, Availability, Binding, EndpointId, Entropy, FirstFit, Lease, LeastConnections, P2c, Pool, Ring,
    RoundRobin, SeededEntropy,
};

use crate::{
    Waiter, any,
    common::{at, id, spec},
    counted, waits,
};

const ENDPOINTS: usize = 5;

#[derive(Clone, Debug)]
enum Wants {
    Any,
    Key(Vec<u8>),
    Prefer(usize),
    Only(usize),
    Except(usize),
}

struct World {
    pool: Pool<()>,
    dice: SeededEntropy,
    availability: [Availability; ENDPOINTS],
    limits: [usize; ENDPOINTS],
    held: Vec<Lease<()>>,
    /// The waiting requests, in the order in which they arrived.
    waiting: Vec<(Waiter, Wants)>,
    served: usize,
}

impl World {
    fn new(strategy: AnyStrategy, seed: u64) -> (Self, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
        let (strategy, picks) = counted(strategy);
        let builder = Pool::<()>::builder(strategy).stripes(1).panic_threshold(0.0);
        let pool: Pool<()> = builder.entropy(std::sync::Arc::new(SeededEntropy::new(seed))).build();
        pool.update((0..ENDPOINTS).map(|at| spec(at).max_in_flight(1)), |_| ()).unwrap();
        let world = Self {
            pool,
            dice: SeededEntropy::new(seed),
            availability: [Availability::Up; ENDPOINTS],
            limits: [1; ENDPOINTS],
            held: Vec::new(),
            waiting: Vec::new(),
            served: 0,
        };
        (world, picks)
    }

    fn below(&self, n: usize) -> usize {
        (self.dice.next_u64() % n.max(1) as u64) as usize
    }

    /// Returns whether the endpoint may take the request when it has free capacity.
    fn can_use(&self, wants: &Wants, slot: usize) -> bool {
        let takes_bound = matches!(self.availability[slot], Availability::Up | Availability::Draining);
        let takes_new = self.availability[slot] == Availability::Up;
        match wants {
            Wants::Any | Wants::Key(_) => takes_new,
            Wants::Prefer(bound) => takes_new || takes_bound && *bound == slot,
            Wants::Only(bound) => takes_bound && *bound == slot,
            Wants::Except(other) => takes_new && *other != slot,
        }
    }

    fn step(&mut self) {
        match self.below(16) {
            0..6 => self.arrives(),
            6..11 if !self.held.is_empty() => {
                let at = self.below(self.held.len());
                drop(self.held.swap_remove(at));
            }
            11 if !self.waiting.is_empty() => {
                let at = self.below(self.waiting.len());
                drop(self.waiting.remove(at));
            }
            12 => {
                let at = self.below(ENDPOINTS);
                let kinds = [Availability::Up, Availability::Up, Availability::Draining, Availability::Maintenance];
                self.availability[at] = kinds[self.below(kinds.len())];
                self.pool.set_availability(id(at), self.availability[at]).unwrap();
            }
            13 => {
                let (at, limit) = (self.below(ENDPOINTS), 1 + self.below(3));
                self.limits[at] = limit;
                self.pool.set_max_in_flight(id(at), Some(limit as u32)).unwrap();
            }
            14 => {
                // A pick that does not wait must not take capacity that a waiting request could use.
                if let Ok(lease) = self.pool.pick(&any()) {
                    let slot = at(&lease);
                    assert!(self.waiting.iter().all(|(_, wants)| !self.can_use(wants, slot)));
                    self.held.push(lease);
                }
            }
            _ => {}
        }
        self.serve();
        self.check();
    }

    fn arrives(&mut self) {
        let at = self.below(ENDPOINTS);
        let wants = match self.below(6) {
            0 | 1 => Wants::Any,
            2 => Wants::Key(vec![self.below(9) as u8]),
            3 => Wants::Prefer(at),
            4 => Wants::Only(at),
            _ => Wants::Except(at),
        };
        let (strict, loose, excluded): (Binding, Binding, [EndpointId; 1]) =
            (Binding::to(id(at)).strict(), Binding::to(id(at)).session(b"s"), [id(at)]);
        let request = match &wants {
            Wants::Any => any(),
            Wants::Key(key) => any().key(key),
            Wants::Prefer(_) => any().bound(&loose),
            Wants::Only(_) => any().bound(&strict),
            Wants::Except(_) => any().exclude(&excluded),
        };
        let mut waiter = Waiter::new(self.pool.acquire(&request));
        match waiter.poll() {
            Poll::Pending => self.waiting.push((waiter, wants)),
            Poll::Ready(lease) => {
                let lease = match lease {
                    Err(error) => return assert!(matches!(error, equipoise_core::PickError::Excluded), "{error}"),
                    Ok(lease) => lease,
                };
                let slot = crate::common::at(&lease);
                assert!(self.waiting.iter().all(|(_, wants)| !self.can_use(wants, slot)), "an overtaking");
                self.held.push(lease);
                self.served += 1;
            }
        }
    }

    /// Takes the leases that waiting requests have got. Looks only at requests that were woken.
    fn serve(&mut self) {
        let woken = |waiter: &(Waiter, Wants)| waiter.0.rung() > 0;
        while let Some(first) = self.waiting.iter().position(woken) {
            let (mut waiter, _) = self.waiting.remove(first);
            assert_eq!(waiter.rung(), 1, "woken once");
            match waiter.poll() {
                Poll::Pending => panic!("woken in vain"),
                Poll::Ready(Err(error)) => assert_eq!(error, equipoise_core::PickError::Excluded),
                Poll::Ready(Ok(lease)) => {
                    let slot = at(&lease);
                    let ahead = &self.waiting[..first];
                    let overtaken = ahead.iter().find(|(ahead, wants)| ahead.rung() == 0 && self.can_use(wants, slot));
                    let overtaken = overtaken.map(|(_, wants)| wants);
                    assert!(overtaken.is_none(), "{overtaken:?} was overtaken at {slot}");
                    self.held.push(lease);
                    self.served += 1;
                }
            }
        }
    }

    /// Checks that no waiting request could use capacity that is free.
    fn check(&self) {
        for slot in 0..ENDPOINTS {
            let used = self.held.iter().filter(|lease| at(lease) == slot).count();
            if used < self.limits[slot] {
                let forgotten = self.waiting.iter().find(|(_, wants)| self.can_use(wants, slot));
                assert!(forgotten.is_none(), "{:?} was forgotten at {slot}", forgotten.map(|(_, wants)| wants));
            }
        }
    }
}

#[test]
fn after_each_step_no_request_was_forgotten_or_overtaken_and_attempts_are_few() {
    let strategies = [
        AnyStrategy::new(RoundRobin::new()),
        AnyStrategy::new(P2c::new()),
        AnyStrategy::new(Ring::new()),
        AnyStrategy::new(FirstFit::new()),
        AnyStrategy::new(LeastConnections::new()),
    ];
    for (seed, strategy) in strategies.into_iter().enumerate() {
        let (mut world, picks) = World::new(strategy, seed as u64);
        let steps = waits() / 2;
        for _ in 0..steps {
            world.step();
        }
        assert!(world.served > steps / 8);
        let picks = picks.load(std::sync::atomic::Ordering::Relaxed);
        assert!(picks < 4 * steps, "{picks} attempts in {steps} steps");
        world.held.clear();
        world.serve();
        world.pool.set_availabilities((0..ENDPOINTS).map(|at| (id(at), Availability::Up))).unwrap();
        for at in 0..ENDPOINTS {
            world.availability[at] = Availability::Up;
        }
        while !world.waiting.is_empty() {
            world.serve();
            world.check();
            world.held.clear();
        }
    }
}
