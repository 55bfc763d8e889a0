//! The contenders: strategies of the library by name, and custom ones.

use std::sync::Arc;

use equipoise::{
    Strategy, StrategySpec,
    sim::{Contender, named},
};

use crate::custom_strategy::Demerits;

/// A contender.
pub(crate) type Entrant = Arc<dyn Contender + Send + Sync>;

/// Custom strategies: a line for each, with its name for `--strategy` and a function that makes it for a client.
pub(crate) fn yours() -> Vec<Entrant> {
    vec![
        own("demerits", |_client| Demerits { per_failure: 10 }),
        // Add yours here.
    ]
}

/// Creates a contender of a custom strategy: its name for `--strategy` and tables, and a function that makes it for a
/// client.
fn own<S: Strategy>(name: &'static str, make: impl Fn(usize) -> S + Send + Sync + 'static) -> Entrant {
    Arc::new(named(name, make))
}

/// Returns the contender of this name. Custom strategies take precedence.
pub(crate) fn named_so(text: &str) -> Result<Entrant, String> {
    let own = yours().into_iter().find(|entrant| entrant.label() == text);
    own.map_or_else(|| known(text), Ok)
}

fn known(text: &str) -> Result<Entrant, String> {
    Ok(Arc::new(text.parse::<StrategySpec>().map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_and_library_strategies_are_found_by_name() {
        for name in ["demerits", "p2c(choices=3)"] {
            assert_eq!(named_so(name).map(|entrant| entrant.label()), Ok(name.to_owned()));
        }
        assert!(named_so("unknown").is_err());
    }
}
