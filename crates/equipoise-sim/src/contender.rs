use equipoise_core::{AnyStrategy, Strategy, StrategySpec};

/// A strategy as a run needs it: anew for each client, under a name for tables.
///
/// A [`StrategySpec`] is one; [`named`] makes one of any strategy. A run ends with an error when the strategy panics, also
/// in a hook, where a pool would go on without.
pub trait Contender: Sync {
    /// What it is called in reports.
    fn label(&self) -> String;

    /// The strategy of the client with this number. Nothing may be shared between two clients that balancers on two
    /// machines would not share.
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

/// A strategy of one's own, or one that differs from client to client.
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
