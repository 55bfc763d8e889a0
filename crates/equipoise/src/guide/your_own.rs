//! A strategy of your own, step by step.
//!
//! Requests differ: a report costs a hundred times what a look-up does, and counting them says little about load.
//! Suppose that each endpoint finds out how much of its time is free, by what its answers have taken. The strategy of
//! this chapter, `LeastWork`, sends a request to whoever has been given the least *work* for its weight. Work is the time
//! that answers took, and for requests under way what an answer of that endpoint usually takes. Among equals,
//! another strategy decides.
//!
//! # What must be remembered
//!
//! A strategy has a cold half, [`Strategy`](crate::Strategy), a hot one, [`Picker`](crate::Picker), and a memory for each
//! endpoint, the [`State`](crate::Strategy::State). The pool keeps the memory with the endpoint: it survives every update
//! as long as the endpoint stays, and is made anew when another takes the same slot. Hooks run on many threads at once, so
//! it is made of atomics. Since we wrap another strategy, its memory goes inside: [`Layered`](crate::Layered).
//!
//! ```
//! # use std::sync::atomic::AtomicU64;
//! /// Nanoseconds.
//! #[derive(Default)]
//! struct Work {
//!     /// What all answers took, divided by the weight when compared.
//!     done: AtomicU64,
//!     /// What an answer takes: an average over the last few.
//!     usual: AtomicU64,
//! }
//! ```
//!
//! # What it is told
//!
//! Only what [`needs`](crate::Strategy::needs) asks for. `LeastWork` wants the latency, and whatever the wrapped strategy
//! wants: [`Needs::and`](crate::Needs::and). Every hook is handed on, by hand or by [`forward_hooks`](crate::forward_hooks);
//! one that is not is one that the wrapped strategy waits for in vain.
//!
//! # Building a picker
//!
//! [`build`](crate::Strategy::build) runs when members or their availability change, while requests go on with the old
//! picker. It may take its time, so whatever can be looked up is looked up here: who is
//! [eligible](crate::View::eligible), with which memory. A newcomer has done no work and would be given everything until
//! it has caught up; so it starts with the least of the others. The wrapped strategy builds from the view
//! [`within`](crate::View::within) ours, so that it finds its own memory.
//!
//! # Picking
//!
//! Four rules, and the suite below checks them: ask [`usable`](crate::PickCx::usable) of whomever you would pick (it may be
//! excluded or full); if anybody is usable, answer somebody; do not allocate or lock; draw chance, tickets and time from
//! the context, so that an explanation can show what a pick would do. [`score`](crate::PickCx::score) tells an
//! explanation what was compared, and costs a pick nothing. To let another strategy choose among some, wrap its pick
//! into [`filtered`](crate::PickCx::filtered).
//!
//! # All of it
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
//! /// Among those with the least work for their weight, `ties` chooses.
//! struct LeastWork<S> {
//!     ties: S,
//! }
//!
//! struct Candidate {
//!     slot: Slot,
//!     work: Arc<Layered<Work, ()>>,
//!     weight: f64,
//! }
//! # // The wrapped strategy's memory is of a type that `Candidate` need not know; here it is `()`.
//!
//! struct LeastWorkPicker<P> {
//!     candidates: Vec<Candidate>,
//!     ties: P,
//!     /// The view that `ties` was built from.
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
//!         self.ties.needs().and(Needs::new().latency())
//!     }
//!
//!     fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
//!         let candidate = |&slot: &Slot| {
//!             Some(Candidate { slot, work: view.state(slot)?, weight: f64::from(view.weight(slot)) })
//!         };
//!         let candidates: Vec<Candidate> = view.eligible().iter().filter_map(candidate).collect();
//!         // Whoever joins, or was away, starts with the least that one of the others has done for its weight. Known by
//!         // its memory: a newcomer may have been given the slot of one who left.
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
//!     fn sampled(&self, state: &Self::State, latency: Duration, now: Timestamp) {
//!         let took = latency.as_nanos() as u64;
//!         state.own.done.fetch_add(took, Relaxed);
//!         // An eighth of the new, seven of the old. Two threads may lose one of two answers: it is an estimate.
//!         let usual = state.own.usual.load(Relaxed);
//!         state.own.usual.store(if usual == 0 { took } else { usual - usual / 8 + took / 8 }, Relaxed);
//!         self.ties.sampled(&state.inner, latency, now);
//!     }
//!
//!     forward_hooks!(self.ties, state.inner: acquired, released, observed, refreshed);
//! }
//!
//! impl Candidate {
//!     fn done(&self) -> f64 {
//!         self.work.own.done.load(Relaxed) as f64 / self.weight
//!     }
//!
//!     /// What it will have done for its weight when all that is under way is done.
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
//!         // Another thread may have broken the tie meanwhile: then the first of them is as good.
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
//! # What it is worth
//!
//! A pick looks at every endpoint: fine for ten, too slow for a thousand (compare a few that are drawn, as
//! [`P2c`](crate::P2c) does). Work is never forgotten, so an endpoint that was slow for an hour is owed nothing but is
//! not forgiven either; and it is divided by the weight of today, so an endpoint whose weight is raised wins all turns
//! until the others have caught up. Failures, whose latency is never sampled, are free. [`PeakEwma`](crate::PeakEwma)
//! shows how to do better. A strategy that places requests by key asks the suite for `spreads_keys`,
//! `holds_keys_on_flips` and `holds_keys_on_removal` too, and `allocations` shows that
//! picks allocate nothing.
