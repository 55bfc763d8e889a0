/// The hooks of a [`Strategy`](crate::Strategy) that wraps another, in its `impl`: each calls the wrapped one's.
///
/// The first argument is where the wrapped strategy is. The second is where the wrapped one's memory is in the
/// wrapper's [`State`](crate::Strategy::State): `state.inner` in a [`Layered`](crate::Layered), nothing where the wrapper
/// remembers nothing itself. Hooks that the wrapper has use for are written by hand, and then the others are listed:
///
/// ```text
/// forward_hooks!(self.inner);                  // State = S::State
/// forward_hooks!(self.inner, state.inner);     // State = Layered<…, S::State>
/// forward_hooks!(self.inner, state.inner: on_latency, on_abandon, on_outcome, on_probation, on_refresh);
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
            self.$inner $(, state.$part)?: admit, on_release, on_latency, on_abandon, on_outcome, on_probation, on_refresh
        );
    };
    (self.$inner:tt: $($hook:ident),+ $(,)?) => {
        $($crate::forward_hooks!(@$hook $inner []);)+
    };
    (self.$inner:tt, state.$part:tt: $($hook:ident),+ $(,)?) => {
        $($crate::forward_hooks!(@$hook $inner [.$part]);)+
    };
    (@admit $inner:tt [$($part:tt)*]) => {
        fn admit(
            &self,
            state: &Self::State,
            endpoint: &$crate::Endpoint,
            request: &$crate::PickRequest<'_>,
        ) -> bool {
            $crate::Strategy::admit(&self.$inner, &(*state)$($part)*, endpoint, request)
        }
    };
    (@on_release $inner:tt [$($part:tt)*]) => {
        fn on_release(&self, state: &Self::State, endpoint: &$crate::Endpoint) {
            $crate::Strategy::on_release(&self.$inner, &(*state)$($part)*, endpoint);
        }
    };
    (@on_latency $inner:tt [$($part:tt)*]) => {
        fn on_latency(&self, state: &Self::State, latency: ::core::time::Duration, now: $crate::Timestamp) {
            $crate::Strategy::on_latency(&self.$inner, &(*state)$($part)*, latency, now);
        }
    };
    (@on_abandon $inner:tt [$($part:tt)*]) => {
        fn on_abandon(&self, state: &Self::State, waited: ::core::time::Duration, now: $crate::Timestamp) -> bool {
            $crate::Strategy::on_abandon(&self.$inner, &(*state)$($part)*, waited, now)
        }
    };
    (@on_outcome $inner:tt [$($part:tt)*]) => {
        fn on_outcome(&self, state: &Self::State, verdict: $crate::Verdict, now: $crate::Timestamp) {
            $crate::Strategy::on_outcome(&self.$inner, &(*state)$($part)*, verdict, now);
        }
    };
    (@on_probation $inner:tt [$($part:tt)*]) => {
        fn on_probation(&self, state: &Self::State, verdict: $crate::Verdict, now: $crate::Timestamp) {
            $crate::Strategy::on_probation(&self.$inner, &(*state)$($part)*, verdict, now);
        }
    };
    (@on_refresh $inner:tt [$($part:tt)*]) => {
        fn on_refresh(&self, now: $crate::Timestamp) -> bool {
            $crate::Strategy::on_refresh(&self.$inner, now)
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

        fn admit(&self, (): &(), _: &Endpoint, _: &PickRequest<'_>) -> bool {
            self.0.lock().push("admit");
            true
        }

        fn on_release(&self, (): &(), _: &Endpoint) {
            self.0.lock().push("on_release");
        }

        fn on_latency(&self, (): &(), _: Duration, _: Timestamp) {
            self.0.lock().push("on_latency");
        }

        fn on_abandon(&self, (): &(), _: Duration, _: Timestamp) -> bool {
            self.0.lock().push("on_abandon");
            true
        }

        fn on_outcome(&self, (): &(), _: Verdict, _: Timestamp) {
            self.0.lock().push("on_outcome");
        }

        fn on_probation(&self, (): &(), _: Verdict, _: Timestamp) {
            self.0.lock().push("on_probation");
        }

        fn on_refresh(&self, _: Timestamp) -> bool {
            self.0.lock().push("on_refresh");
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
        pool.set_availability("a", Availability::Probation).expect("a member");
        clock.advance(Duration::from_secs(2));
        pool.pick(&PickRequest::new()).expect("an endpoint").finish(Verdict::Success);
        let take = || {
            let mut heard = std::mem::take(&mut *heard.0.lock());
            heard.sort_unstable();
            heard
        };
        let finished = take();
        assert_eq!(finished, ["admit", "on_latency", "on_outcome", "on_probation", "on_refresh", "on_release"]);
        pool.set_availability("a", Availability::Probation).expect("a member");
        drop(pool.pick(&PickRequest::new()).expect("an endpoint"));
        assert_eq!(take(), ["admit", "on_abandon", "on_outcome", "on_probation", "on_release"]);
    }
}
