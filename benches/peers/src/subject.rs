//! Subjects of both sides.

use std::{hint::black_box, net::SocketAddr};

use equipoise_benches::id;
use equipoise_core::{BuildError, EndpointSpec, Picker, Pool, Strategy, View};

/// The sizes of pools.
pub(crate) const SIZES: [usize; 2] = [10, 1_000];

/// The addresses of `n` endpoints.
pub(crate) fn addresses(n: usize) -> Vec<SocketAddr> {
    names(n).iter().map(|name| name.parse().expect("an address")).collect()
}

/// The same addresses as text.
pub(crate) fn names(n: usize) -> Vec<String> {
    (0..n).map(|at| id(at).as_str().to_owned()).collect()
}

/// Passes to `race` a function that only builds a picker of `strategy` for `n` endpoints, without a previous picker.
pub(crate) fn building<S: Strategy>(strategy: S, n: usize, race: impl Fn(&dyn Fn()) + Send + Sync + 'static) {
    let pool = Pool::new(Building { strategy, n, race });
    pool.update(names(n).into_iter().map(EndpointSpec::new), |_| ()).expect("valid endpoints");
}

/// A strategy whose builds are measured.
struct Building<S, R> {
    strategy: S,
    n: usize,
    race: R,
}

struct Nobody;

impl Picker for Nobody {
    fn pick(&self, _: &mut equipoise_core::PickCx<'_>) -> Option<equipoise_core::Slot> {
        None
    }
}

impl<S: Strategy, R: Fn(&dyn Fn()) + Send + Sync + 'static> Strategy for Building<S, R> {
    type State = S::State;
    type Picker = Nobody;

    fn state(&self, spec: &EndpointSpec) -> S::State {
        self.strategy.state(spec)
    }

    fn build(&self, view: &View, _: Option<&Nobody>) -> Result<Nobody, BuildError> {
        if view.members().len() == self.n {
            (self.race)(&|| drop(black_box(self.strategy.build(view, None).expect("valid endpoints"))));
        }
        Ok(Nobody)
    }
}
