use equipoise_core::{AnyStrategy, Strategy, StrategySpec};

/// A strategy under test: its name for reports, and a method that creates an instance of the strategy for each client
/// of a run.
///
/// [`StrategySpec`] implements this trait. [`named`] creates a contender from any other strategy.
///
/// If the strategy panics, the run ends with an error. This applies to picks and to hooks, such as
/// [`Strategy::on_outcome`]. In production, a pool catches such a panic and continues.
pub trait Contender: Sync {
    /// Returns the name of the strategy, for reports ([`Report::label`](crate::Report::label)) and errors.
    fn label(&self) -> String;

    /// Creates the strategy of the client with the index `client`, counted from 0. Called once for each client when a
    /// run starts. If this method panics, the run ends with [`RunError::Panicked`](crate::RunError::Panicked).
    ///
    /// The strategies of two clients must not share state, because real balancers on two machines cannot share state
    /// either.
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

/// Creates a contender with the name `label`. The function `strategy` creates the strategy of the client with the given
/// index, counted from 0.
///
/// Use it for a strategy that has no [`StrategySpec`], or for a strategy whose settings differ from client to client.
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
