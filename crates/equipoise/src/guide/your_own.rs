//! Writing a strategy, step by step.
//!
//! Counting requests says little about load if requests differ: a report may cost a hundred times as much as a look-up.
//! The strategy of this chapter, `LeastWork`, therefore measures *work*. The work of an endpoint is the total time that
//! its responses took. Each request in flight counts as one usual response time of its endpoint. `LeastWork` picks the
//! endpoint with the lowest work divided by weight. If several endpoints have the same lowest value, another strategy
//! picks one of them.
//!
//! # The parts of a strategy
//!
//! - [`Strategy`](crate::Strategy) holds the settings and builds pickers. It runs rarely.
//! - [`Picker`](crate::Picker) picks an endpoint. It runs for each request.
//! - [`State`](crate::Strategy::State) is what the strategy remembers about one endpoint. The pool stores it with the
//!   endpoint: the state survives updates as long as the endpoint stays in the pool. If the endpoint leaves and another
//!   one gets its slot (its index in the pool), the new endpoint gets a new state.
//!
//! Hooks run on many threads at once, so the state consists of atomics. `LeastWork` wraps another strategy. A
//! [`Layered`](crate::Layered) holds the states of both.
//!
//! ```
//! # use std::sync::atomic::AtomicU64;
//! /// The state of one endpoint. Both times are in nanoseconds.
//! #[derive(Default)]
//! struct Work {
//!     /// Total time of all responses. A comparison of endpoints divides it by the weight.
//!     done: AtomicU64,
//!     /// Usual time of a response: a moving average.
//!     usual: AtomicU64,
//! }
//! ```
//!
//! # Hooks
//!
//! Hooks are methods of `Strategy` that the pool calls when something happens to a request. It calls only those hooks
//! that [`needs`](crate::Strategy::needs) asks for. `LeastWork` needs latencies and outcomes, and what the wrapped
//! strategy needs. [`Needs::and`](crate::Needs::and) combines the two.
//!
//! - `on_latency` adds the latency of a response to the work of its endpoint.
//! - `on_outcome` counts a failure as one usual response. The pool reports no latency for a failed request, so a
//!   failing endpoint would otherwise look idle and get most of the requests.
//! - `on_abandon` counts the time that a request waited before the caller gave it up. Otherwise an endpoint that never
//!   answers would look idle.
//!
//! A strategy that wraps another one must forward every hook to it, by hand or by
//! [`forward_hooks`](crate::forward_hooks). Otherwise the hooks of the wrapped strategy are not called.
//!
//! # Building a picker
//!
//! [`build`](crate::Strategy::build) runs when members or their availability change. Meanwhile requests use the old
//! picker, so `build` may be slow. Do all look-ups in `build` instead of in each pick. `LeastWork` looks up the
//! [eligible](crate::View::eligible) endpoints and their states.
//!
//! A new endpoint has no work yet. It would get all requests until it has as much work as the others, so it starts with
//! the least work of the others. The wrapped strategy expects states of its own type. The view that
//! [`within`](crate::View::within) returns has these states, so the wrapped strategy builds its picker from that view.
//!
//! # Picking
//!
//! A strategy follows five rules, which the conformance suite checks:
//!
//! 1. Pick only endpoints that are [`usable`](crate::PickCx::usable). For example, excluded endpoints and full
//!    endpoints are not usable.
//! 2. If any endpoint is usable, pick one.
//! 3. Do not allocate, and do not lock.
//! 4. Take random numbers, [pick numbers](crate::PickCx::next_number) and the time from the context. Otherwise
//!    [`Pool::explain`](crate::Pool::explain) cannot show what a pick would do.
//! 5. An endpoint that fails gets at most its share of the requests (see `testing::Check::Failing`). A strategy that
//!    sends most requests to a few endpoints, such as to the first one, does not follow this rule by itself. Such a
//!    strategy lets the pool limit the picks of failing endpoints: its [`needs`](crate::Strategy::needs) return
//!    `Needs::new().latency().caps_failing()`, and its [`on_abandon`](crate::Strategy::on_abandon) returns `true`, so
//!    that a request counts as a failure if its caller gives it up.
//!
//! [`score`](crate::PickCx::score) tells `explain` which values were compared. In a pick, `score` does nothing. To let
//! another strategy pick among some of the endpoints, run its pick inside [`filtered`](crate::PickCx::filtered).
//!
//! # The complete strategy
//!
//! ```
//! use std::{
//!     sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}},
//!     time::Duration,
//! };
//! use equipoise::{
//!     BuildError, EndpointSpec, Layered, Needs, PickCx, PickRequest, Picker, Pool, Random, Slot, Strategy, Timestamp,
//!     Verdict, View, forward_hooks,
//! };
//!
//! #[derive(Default)]
//! struct Work {
//!     done: AtomicU64,
//!     usual: AtomicU64,
//! }
//!
//! /// Picks the endpoint with the lowest work divided by weight. `ties` picks among endpoints for which it is equal.
//! struct LeastWork<S> {
//!     ties: S,
//! }
//!
//! struct Candidate {
//!     slot: Slot,
//!     work: Arc<Layered<Work, ()>>,
//!     weight: f64,
//! }
//!
//! struct LeastWorkPicker<P> {
//!     candidates: Vec<Candidate>,
//!     ties: P,
//!     /// The view from which `ties` was built.
//!     inside: View,
//! }
//!
//! impl<S: Strategy<State = ()>> Strategy for LeastWork<S> {
//!     type State = Layered<Work, ()>;
//!     type Picker = LeastWorkPicker<S::Picker>;
//!
//!     fn state(&self, spec: &EndpointSpec) -> Self::State {
//!         Layered::new(Work::default(), self.ties.state(spec))
//!     }
//!
//!     fn needs(&self) -> Needs {
//!         self.ties.needs().and(Needs::new().latency().outcomes())
//!     }
//!
//!     fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
//!         let candidate = |&slot: &Slot| {
//!             Some(Candidate { slot, work: view.state(slot)?, weight: f64::from(view.weight(slot)) })
//!         };
//!         let candidates: Vec<Candidate> = view.eligible().iter().filter_map(candidate).collect();
//!         // An endpoint that joins or returns starts with the lowest work divided by weight of the others. Endpoints
//!         // are recognised by their state, because a new endpoint may have the slot of a removed one.
//!         let was_here = |it: &Candidate| {
//!             last.is_some_and(|last| last.candidates.iter().any(|other| Arc::ptr_eq(&other.work, &it.work)))
//!         };
//!         let least = candidates.iter().filter(|it| was_here(it)).map(|it| it.done()).min_by(f64::total_cmp);
//!         for it in candidates.iter().filter(|it| !was_here(it)) {
//!             it.work.own.done.fetch_max((least.unwrap_or(0.0) * it.weight) as u64, Relaxed);
//!         }
//!         let inside = view.within::<Work, ()>();
//!         let ties = self.ties.build(&inside, last.map(|last| &last.ties))?;
//!         Ok(LeastWorkPicker { candidates, ties, inside })
//!     }
//!
//!     fn on_latency(&self, state: &Self::State, latency: Duration, now: Timestamp) {
//!         let took = latency.as_nanos() as u64;
//!         state.own.done.fetch_add(took, Relaxed);
//!         // One eighth of the new value, seven of the old. A concurrent update may be lost; this is an estimate.
//!         let usual = state.own.usual.load(Relaxed);
//!         state.own.usual.store(if usual == 0 { took } else { usual - usual / 8 + took / 8 }, Relaxed);
//!         self.ties.on_latency(&state.inner, latency, now);
//!     }
//!
//!     fn on_outcome(&self, state: &Self::State, verdict: Verdict, now: Timestamp) {
//!         if verdict.is_failure() {
//!             state.own.done.fetch_add(state.own.usual.load(Relaxed), Relaxed);
//!         }
//!         self.ties.on_outcome(&state.inner, verdict, now);
//!     }
//!
//!     fn on_abandon(&self, state: &Self::State, waited: Duration, now: Timestamp) -> bool {
//!         let nanos = waited.as_nanos() as u64;
//!         state.own.done.fetch_add(nanos, Relaxed);
//!         state.own.usual.fetch_max(nanos, Relaxed);
//!         self.ties.on_abandon(&state.inner, waited, now)
//!     }
//!
//!     forward_hooks!(self.ties, state.inner; except on_latency, on_abandon, on_outcome);
//! }
//!
//! impl Candidate {
//!     fn done(&self) -> f64 {
//!         self.work.own.done.load(Relaxed) as f64 / self.weight
//!     }
//!
//!     /// The work divided by the weight, including the expected work of requests in flight.
//!     fn score(&self, view: &View) -> f64 {
//!         let usual = self.work.own.usual.load(Relaxed).max(1) as f64;
//!         self.done() + f64::from(view.in_flight(self.slot)) * usual / self.weight
//!     }
//! }
//!
//! impl<P: Picker> Picker for LeastWorkPicker<P> {
//!     fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
//!         let mut best: Option<(Slot, f64)> = None;
//!         let mut tied = false;
//!         for candidate in &self.candidates {
//!             if !cx.usable(candidate.slot) {
//!                 continue;
//!             }
//!             let score = candidate.score(cx.view());
//!             cx.score(candidate.slot, score);
//!             match best {
//!                 Some((_, least)) if score > least => {}
//!                 Some((_, least)) if score == least => tied = true,
//!                 _ => (best, tied) = (Some((candidate.slot, score)), false),
//!             }
//!         }
//!         let (slot, least) = best?;
//!         if !tied {
//!             return Some(slot);
//!         }
//!         let score = |slot: Slot| {
//!             let candidate = self.candidates.iter().find(|candidate| candidate.slot == slot);
//!             candidate.map(|candidate| candidate.score(&self.inside))
//!         };
//!         let ties = |slot: Slot| score(slot) == Some(least);
//!         // If another thread has changed the scores in the meantime, the first of the equal endpoints is picked.
//!         cx.within(&self.inside, |cx| cx.filtered(&ties, |cx| self.ties.pick(cx))).or(Some(slot))
//!     }
//! }
//!
//! let pool = Pool::new(LeastWork { ties: Random::new() });
//! pool.update([EndpointSpec::new("a:80").weight(2), EndpointSpec::new("b:80")], |_| ())?;
//! for _ in 0..10 {
//!     pool.pick(&PickRequest::new())?.finish(Verdict::Success);
//! }
//! println!("{}", pool.explain(&PickRequest::new()));
//! # #[cfg(feature = "testing")]
//! # {
//! // In your tests, with the feature `testing`:
//! use equipoise::testing::Conformance;
//!
//! Conformance::new(|| LeastWork { ties: Random::new() }).honours_weights().assert();
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits of this strategy
//!
//! - A pick looks at every endpoint. This is fast enough for ten endpoints and too slow for a thousand.
//!   [`P2c`](crate::P2c) compares only a few endpoints, drawn at random.
//! - Work is never forgotten. An endpoint that was slow for an hour keeps this work for ever.
//! - Work is divided by the current weight. If the weight of an endpoint is raised, the endpoint gets all requests
//!   until it has as much work for its weight as the others.
//! - A failing endpoint gets as many requests as a working one.
//!
//! [`LogEwma`](crate::LogEwma) shows how to solve these problems.
//!
//! In the tests of a strategy that places requests by key, also call `spreads_keys`,
//! `keeps_keys_on_availability_change` and `keeps_keys_on_removal` of the conformance suite. `allocations` checks that
//! picks do not allocate.
