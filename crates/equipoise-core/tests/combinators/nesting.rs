//! Nested combinators: the wrapped strategy finds its state, its hooks are called, and its picks see the whole request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use equipoise_core::{
    AnyStrategy, Aperture, BuildError, Endpoint, EndpointSpec, Needs, PeakEwma, PickCx, PickRequest, Picker, Slot,
    SlowStart, Strategy, Subset, Timestamp, Verdict, View, ZoneAware,
};

use crate::{
    common::{at, clocked, pick, pool_of, spec},
    shares::share,
};

const SEED: u64 = 0x2e57;

/// Returns nested combinators around the strategy that `inner` creates, in several orders. With four endpoints, none of
/// the combinators leaves an endpoint out.
pub(crate) fn nests<S: Strategy>(inner: impl Fn() -> S) -> Vec<AnyStrategy> {
    let any = || AnyStrategy::new(inner());
    vec![
        AnyStrategy::new(SlowStart::new(inner())),
        AnyStrategy::new(SlowStart::new(Subset::new(inner(), 4, 1))),
        AnyStrategy::new(Subset::new(SlowStart::new(inner()), 4, 2)),
        AnyStrategy::new(SlowStart::new(SlowStart::new(inner()))),
        AnyStrategy::new(ZoneAware::new(SlowStart::new(Subset::new(inner(), 4, 3)), "a")),
        AnyStrategy::new(SlowStart::new(Aperture::new(ZoneAware::new(inner(), "a"), 0, 1).expect("a client"))),
        AnyStrategy::new(SlowStart::new(any())),
        AnyStrategy::new(Subset::new(AnyStrategy::new(SlowStart::new(any())), 4, 4)),
        AnyStrategy::new(
            Aperture::new(AnyStrategy::new(SlowStart::new(any())), 1, 3).expect("a client").min_endpoints(4),
        ),
    ]
}

#[test]
fn peak_ewma_finds_its_memory_in_any_nest() {
    for strategy in nests(PeakEwma::new) {
        let (pool, clock) = clocked(strategy.clone(), &[1; 4], SEED);
        let mut counts = vec![0; 4];
        for _ in 0..2000 {
            let lease = pick(&pool);
            let index = at(&lease);
            clock.advance(Duration::from_millis(if index == 0 { 200 } else { 2 }));
            lease.finish(Verdict::Success);
            counts[index] += 1;
        }
        assert!(share(&counts, 0) < 0.05, "{strategy:?}: {counts:?}");
    }
}

/// A strategy that counts the calls of its hooks. Its picks depend on the context only.
#[derive(Clone, Default)]
struct Witness(Arc<[AtomicU32; 6]>);

impl Witness {
    fn note(&self, what: usize) {
        self.0[what].fetch_add(1, Ordering::Relaxed);
    }
}

impl Strategy for Witness {
    type State = u32;
    type Picker = Self;

    fn state(&self, _: &EndpointSpec) -> u32 {
        7
    }

    fn build(&self, _: &View, _: Option<&Self>) -> Result<Self, BuildError> {
        Ok(self.clone())
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().outcomes().leases().key().refresh(Duration::from_secs(1))
    }

    fn admit(&self, state: &u32, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        assert_eq!(*state, 7);
        self.note(0);
        true
    }

    fn on_release(&self, _: &u32, _: &Endpoint) {
        self.note(1);
    }

    fn on_latency(&self, _: &u32, _: Duration, _: Timestamp) {
        self.note(2);
    }

    fn on_outcome(&self, _: &u32, _: Verdict, _: Timestamp) {
        self.note(3);
    }

    fn on_refresh(&self, _: Timestamp) -> bool {
        self.note(4);
        true
    }
}

impl Picker for Witness {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        // The view in the context must be the view from which the picker was built.
        let view = cx.view();
        let known = view.eligible().iter().all(|&slot| view.state::<u32>(slot).is_some_and(|state| *state == 7));
        if known && cx.key() == Some(b"key") && cx.cost() == 2.0 && cx.now() > Timestamp::ZERO {
            self.note(5);
        }
        view.eligible().iter().copied().find(|&slot| cx.usable(slot))
    }
}

#[test]
fn hooks_and_the_requests_context_arrive_in_any_nest() {
    let witness = Witness::default();
    for strategy in nests(|| witness.clone()) {
        let (pool, clock) = clocked(strategy.clone(), &[1; 4], SEED);
        clock.advance(Duration::from_secs(5));
        for _ in 0..10 {
            let lease = pool.pick(&PickRequest::new().key(b"key").cost(2.0)).expect("an endpoint");
            lease.finish(Verdict::Success);
        }
        let reported: Vec<u32> = witness.0.iter().map(|count| count.swap(0, Ordering::Relaxed)).collect();
        assert_eq!(reported, [10, 10, 10, 10, 1, 10], "{strategy:?}");
    }
}

#[test]
fn what_is_inside_sees_its_part_only() {
    /// A strategy that picks the first usable endpoint of the view in the context.
    struct First;

    impl Strategy for First {
        type State = ();
        type Picker = Self;

        fn state(&self, _: &EndpointSpec) {}

        fn build(&self, view: &View, _: Option<&Self>) -> Result<Self, BuildError> {
            assert!(view.eligible().iter().all(|slot| view.members().contains(slot)));
            Ok(Self)
        }
    }

    impl Picker for First {
        fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
            assert_eq!(cx.view().members().len(), 2);
            cx.view().eligible().first().copied()
        }
    }

    let pool = pool_of(SlowStart::new(ZoneAware::new(Subset::new(First, 2, 9), "b")), &[1], SEED);
    let zoned = (0..12).map(|at| spec(at).zone(["a", "b", "c"][at % 3]));
    pool.update(zoned, |_| ()).expect("valid specs");
    assert!((0..50).all(|_| at(&pick(&pool)) % 3 == 1));
}
