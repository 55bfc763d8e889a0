/// The hooks of a [`Strategy`](crate::Strategy) that wraps another, in its `impl`: each calls the wrapped one's.
///
/// The first argument is where the wrapped strategy is. The second is where the wrapped one's memory is in the
/// wrapper's [`State`](crate::Strategy::State): `state.inner` in a [`Layered`](crate::Layered), nothing where the wrapper
/// remembers nothing itself. Hooks that the wrapper has use for are written by hand, and then the others are listed:
///
/// ```text
/// forward_hooks!(self.inner);                  // State = S::State
/// forward_hooks!(self.inner, state.inner);     // State = Layered<…, S::State>
/// forward_hooks!(self.inner, state.inner: sampled, abandoned, observed, tried, refreshed);
/// ```
///
/// Without a list, hooks that a later version adds are forwarded too. What is [needed](crate::Strategy::needs) is up to
/// the wrapper: at least what the wrapped one needs.
///
/// ```
/// use equipoise_core::{BuildError, EndpointSpec, Needs, Pool, RoundRobin, Strategy, View, forward_hooks};
///
/// /// Only the heaviest endpoints of each tier.
/// struct Heaviest<S>(S);
///
/// impl<S: Strategy> Strategy for Heaviest<S> {
///     type State = S::State;
///     type Picker = S::Picker;
///     fn state(&self, spec: &EndpointSpec) -> S::State {
///         self.0.state(spec)
///     }
///     fn build(&self, view: &View, last: Option<&S::Picker>) -> Result<S::Picker, BuildError> {
///         let most = view.eligible().iter().map(|&slot| view.weight(slot)).max();
///         self.0.build(&view.narrowed(|slot| Some(view.weight(slot)) == most), last)
///     }
///     fn needs(&self) -> Needs {
///         self.0.needs()
///     }
///     forward_hooks!(self.0);
/// }
///
/// let pool: Pool<()> = Pool::new(Heaviest(RoundRobin::new()));
/// # let _ = pool;
/// ```
#[macro_export]
macro_rules! forward_hooks {
    (self.$inner:tt $(, state.$part:tt)?) => {
        $crate::forward_hooks!(
            self.$inner $(, state.$part)?: acquired, released, sampled, abandoned, observed, tried, refreshed
        );
    };
    (self.$inner:tt: $($hook:ident),+ $(,)?) => {
        $($crate::forward_hooks!(@$hook $inner []);)+
    };
    (self.$inner:tt, state.$part:tt: $($hook:ident),+ $(,)?) => {
        $($crate::forward_hooks!(@$hook $inner [.$part]);)+
    };
    (@acquired $inner:tt [$($part:tt)*]) => {
        fn acquired(
            &self,
            state: &Self::State,
            endpoint: &$crate::Endpoint,
            request: &$crate::PickRequest<'_>,
        ) -> bool {
            $crate::Strategy::acquired(&self.$inner, &(*state)$($part)*, endpoint, request)
        }
    };
    (@released $inner:tt [$($part:tt)*]) => {
        fn released(&self, state: &Self::State, endpoint: &$crate::Endpoint) {
            $crate::Strategy::released(&self.$inner, &(*state)$($part)*, endpoint);
        }
    };
    (@sampled $inner:tt [$($part:tt)*]) => {
        fn sampled(&self, state: &Self::State, latency: ::core::time::Duration, now: $crate::Timestamp) {
            $crate::Strategy::sampled(&self.$inner, &(*state)$($part)*, latency, now);
        }
    };
    (@abandoned $inner:tt [$($part:tt)*]) => {
        fn abandoned(&self, state: &Self::State, waited: ::core::time::Duration, now: $crate::Timestamp) -> bool {
            $crate::Strategy::abandoned(&self.$inner, &(*state)$($part)*, waited, now)
        }
    };
    (@observed $inner:tt [$($part:tt)*]) => {
        fn observed(&self, state: &Self::State, verdict: $crate::Verdict, now: $crate::Timestamp) {
            $crate::Strategy::observed(&self.$inner, &(*state)$($part)*, verdict, now);
        }
    };
    (@tried $inner:tt [$($part:tt)*]) => {
        fn tried(&self, state: &Self::State, verdict: $crate::Verdict, now: $crate::Timestamp) {
            $crate::Strategy::tried(&self.$inner, &(*state)$($part)*, verdict, now);
        }
    };
    (@refreshed $inner:tt [$($part:tt)*]) => {
        fn refreshed(&self, now: $crate::Timestamp) -> bool {
            $crate::Strategy::refreshed(&self.$inner, now)
        }
    };
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{
        Availability, BoundedLoad, BuildError, Endpoint, EndpointSpec, Maglev, ManualClock, Needs, PickRequest, Pool,
        Random, SlowStart, Strategy, Timestamp, Verdict, View, sync::Mutex,
    };

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<&'static str>>>);

    impl Strategy for Heard {
        type State = ();
        type Picker = <Random as Strategy>::Picker;

        fn state(&self, _: &EndpointSpec) {}

        fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
            Random::new().build(view, last)
        }

        fn needs(&self) -> Needs {
            Needs::new().latency().outcomes().leases().refresh(Duration::from_secs(1))
        }

        fn acquired(&self, (): &(), _: &Endpoint, _: &PickRequest<'_>) -> bool {
            self.0.lock().push("acquired");
            true
        }

        fn released(&self, (): &(), _: &Endpoint) {
            self.0.lock().push("released");
        }

        fn sampled(&self, (): &(), _: Duration, _: Timestamp) {
            self.0.lock().push("sampled");
        }

        fn abandoned(&self, (): &(), _: Duration, _: Timestamp) -> bool {
            self.0.lock().push("abandoned");
            true
        }

        fn observed(&self, (): &(), _: Verdict, _: Timestamp) {
            self.0.lock().push("observed");
        }

        fn tried(&self, (): &(), _: Verdict, _: Timestamp) {
            self.0.lock().push("tried");
        }

        fn refreshed(&self, _: Timestamp) -> bool {
            self.0.lock().push("refreshed");
            false
        }
    }

    #[test]
    fn every_hook_is_forwarded_in_every_form() {
        let heard = Heard::default();
        // All of them, in a part of the memory; some by list, the others by hand; all of them, in the same memory.
        let strategy = SlowStart::new(BoundedLoad::new(Maglev::new().fallback(heard.clone())));
        let clock = Arc::new(ManualClock::new());
        let pool = Pool::<()>::builder(strategy).clock(clock.clone()).build();
        pool.update([EndpointSpec::new("a")], |_| ()).expect("a valid spec");
        pool.set_availability("a", Availability::Trial).expect("a member");
        clock.advance(Duration::from_secs(2));
        pool.pick(&PickRequest::new()).expect("an endpoint").finish(Verdict::Success);
        let take = || {
            let mut heard = std::mem::take(&mut *heard.0.lock());
            heard.sort_unstable();
            heard
        };
        let finished = take();
        assert_eq!(finished, ["acquired", "observed", "refreshed", "released", "sampled", "tried"]);
        pool.set_availability("a", Availability::Trial).expect("a member");
        drop(pool.pick(&PickRequest::new()).expect("an endpoint"));
        assert_eq!(take(), ["abandoned", "acquired", "observed", "released", "tried"]);
    }
}
