/// Generates the hooks of a [`Strategy`](crate::Strategy) that wraps another strategy. Each generated hook calls the
/// same hook of the wrapped strategy.
///
/// Use the macro inside `impl Strategy`. It generates all hooks, including those that later versions of this crate add.
/// To write some hooks by hand, list them after `except`. If a name in this list is not the name of a hook, the code
/// does not compile.
///
/// - The first argument is the field that contains the wrapped strategy, such as `self.inner`.
/// - The second argument is the field of the wrapper's [`State`](crate::Strategy::State) that contains the state of the
///   wrapped strategy. If the state is a [`Layered`](crate::Layered), pass `state.inner`. Omit the second argument if
///   both strategies have the same state.
///
/// ```text
/// forward_hooks!(self.inner);                                        // State = S::State
/// forward_hooks!(self.inner, state.inner);                           // State = Layered<…, S::State>
/// forward_hooks!(self.inner, state.inner; except admit, on_release); // these two are written by hand
/// ```
///
/// [`Strategy::needs`](crate::Strategy::needs) is not a hook. Write it by hand. It must ask for at least the needs of
/// the wrapped strategy.
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
    (self.$inner:tt $(; except $($except:ident),+ $(,)?)?) => {
        $crate::forward_hooks!(@all $inner [] [$($($except)+)?]);
    };
    (self.$inner:tt, state.$part:tt $(; except $($except:ident),+ $(,)?)?) => {
        $crate::forward_hooks!(@all $inner [.$part] [$($($except)+)?]);
    };
    // The only list of all hooks.
    (@all $inner:tt $part:tt [$($except:ident)*]) => {
        $($crate::forward_hooks!(@known $except);)*
        $crate::forward_hooks!(@unless admit $inner $part [$($except)*]);
        $crate::forward_hooks!(@unless on_release $inner $part [$($except)*]);
        $crate::forward_hooks!(@unless on_latency $inner $part [$($except)*]);
        $crate::forward_hooks!(@unless on_abandon $inner $part [$($except)*]);
        $crate::forward_hooks!(@unless on_outcome $inner $part [$($except)*]);
        $crate::forward_hooks!(@unless on_probation $inner $part [$($except)*]);
        $crate::forward_hooks!(@unless on_refresh $inner $part [$($except)*]);
    };
    (@known admit) => {};
    (@known on_release) => {};
    (@known on_latency) => {};
    (@known on_abandon) => {};
    (@known on_outcome) => {};
    (@known on_probation) => {};
    (@known on_refresh) => {};
    (@known $other:ident) => {
        ::core::compile_error!(::core::concat!("`", ::core::stringify!($other), "` is not a hook of `Strategy`"));
    };
    (@unless admit $inner:tt $part:tt [admit $($rest:ident)*]) => {};
    (@unless on_release $inner:tt $part:tt [on_release $($rest:ident)*]) => {};
    (@unless on_latency $inner:tt $part:tt [on_latency $($rest:ident)*]) => {};
    (@unless on_abandon $inner:tt $part:tt [on_abandon $($rest:ident)*]) => {};
    (@unless on_outcome $inner:tt $part:tt [on_outcome $($rest:ident)*]) => {};
    (@unless on_probation $inner:tt $part:tt [on_probation $($rest:ident)*]) => {};
    (@unless on_refresh $inner:tt $part:tt [on_refresh $($rest:ident)*]) => {};
    (@unless $hook:ident $inner:tt $part:tt [$other:ident $($rest:ident)*]) => {
        $crate::forward_hooks!(@unless $hook $inner $part [$($rest)*]);
    };
    (@unless $hook:ident $inner:tt $part:tt []) => {
        $crate::forward_hooks!(@$hook $inner $part);
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
pub(crate) mod tests {
    use std::{sync::Arc, time::Duration};

    use crate::{
        AnyStrategy, Availability, BoundedLoad, BuildError, Endpoint, EndpointSpec, Maglev, ManualClock, Needs,
        PickRequest, Pool, Random, SlowStart, Strategy, Subset, Timestamp, Verdict, View, sync::Mutex,
    };

    /// Notes which of its hooks were called.
    #[derive(Clone, Default)]
    pub(crate) struct HookLog(Arc<Mutex<Vec<&'static str>>>);

    impl Strategy for HookLog {
        type State = ();
        type Picker = <Random as Strategy>::Picker;

        fn state(&self, _: &EndpointSpec) {}

        fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
            Random::new().build(view, last)
        }

        fn needs(&self) -> Needs {
            Needs::new().latency().waiting().outcomes().leases().refresh(Duration::from_secs(1))
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

    /// Finishes one request and gives up another on probation, and expects each hook of the wrapped strategy to be
    /// called.
    pub(crate) fn assert_forwards_every_hook<S: Strategy>(wrap: impl FnOnce(HookLog) -> S) {
        let log = HookLog::default();
        let clock = Arc::new(ManualClock::new());
        let pool = Pool::<()>::builder(wrap(log.clone())).clock(clock.clone()).build();
        pool.update([EndpointSpec::new("a")], |_| ()).expect("a valid spec");
        pool.set_availability("a", Availability::Probation).expect("a member");
        clock.advance(Duration::from_secs(2));
        pool.pick(&PickRequest::new()).expect("an endpoint").finish(Verdict::Success);
        let take = || {
            let mut called = std::mem::take(&mut *log.0.lock());
            called.sort_unstable();
            called
        };
        let finished = take();
        assert_eq!(finished, ["admit", "on_latency", "on_outcome", "on_probation", "on_refresh", "on_release"]);
        pool.set_availability("a", Availability::Probation).expect("a member");
        drop(pool.pick(&PickRequest::new()).expect("an endpoint"));
        assert_eq!(take(), ["admit", "on_abandon", "on_outcome", "on_probation", "on_release"]);
    }

    #[test]
    fn every_hook_is_forwarded_in_every_form() {
        // All hooks, to a part of the state; all but two, which are written by hand; all hooks, with the same state.
        assert_forwards_every_hook(|log| SlowStart::new(BoundedLoad::new(Maglev::new().fallback(log))));
        assert_forwards_every_hook(|log| Subset::new(log, 3, 0));
        assert_forwards_every_hook(AnyStrategy::new);
    }

    #[test]
    fn every_hook_of_the_trait_is_forwarded() {
        let source = include_str!("mod.rs");
        let names = source.lines().filter_map(|line| line.strip_prefix("    fn ")?.split('(').next());
        let hooks: Vec<&str> = names.filter(|name| *name == "admit" || name.starts_with("on_")).collect();
        assert!(hooks.len() >= 7, "{hooks:?}");
        for hook in hooks {
            assert!(include_str!("forward.rs").contains(&format!("(@unless {hook} ")), "forward_hooks! drops {hook}");
            assert!(include_str!("any.rs").contains(&format!("Strategy::{hook}(self")), "AnyStrategy drops {hook}");
        }
    }
}
