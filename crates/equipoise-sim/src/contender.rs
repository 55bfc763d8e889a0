use equipoise_core::{AnyStrategy, Strategy, StrategySpec};

/// A strategy under test: makes a new strategy for each client and names it.
///
/// [`StrategySpec`] implements it. [`named`] makes a contender from any strategy. A run ends with an error if the
/// strategy panics, also in a hook, where a pool in production would continue.
pub trait Contender: Sync {
    /// Returns the name of the strategy in reports.
    fn label(&self) -> String;

    /// Makes the strategy of the client with this index.
    ///
    /// Strategies of two clients must not share state, because balancers on two machines would not share it either.
    fn strategy(&self, client: usize) -> AnyStrategy;
}

impl Contender for StrategySpec {
    fn label(&self) -> String {
        self.to_string()
    }

    fn strategy(&self, _: usize) -> AnyStrategy {
        self.build()
    }
}

/// Makes a contender from a label and a function that makes the strategy of the client with the given index.
///
/// Use it for strategies without a [`StrategySpec`], and for strategies that differ from client to client.
///
/// ```
/// use equipoise_core::{P2c, Subset};
/// use equipoise_sim::{Scenario, Server, named};
///
/// let subsets = named("p2c on 5 of 20", |client| Subset::new(P2c::new(), 5, client as u64));
/// let report = Scenario::of(20, Server::fifo(1)).clients(10).run(&subsets)?;
/// assert_eq!(report.label, "p2c on 5 of 20");
/// # Ok::<(), equipoise_sim::RunError>(())
/// ```
pub fn named<S: Strategy>(label: impl Into<String>, strategy: impl Fn(usize) -> S + Sync) -> impl Contender {
    Named { label: label.into(), strategy: move |client| AnyStrategy::new(strategy(client)) }
}

struct Named<F> {
    label: String,
    strategy: F,
}

impl<F: Fn(usize) -> AnyStrategy + Sync> Contender for Named<F> {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn strategy(&self, client: usize) -> AnyStrategy {
        (self.strategy)(client)
    }
}
