//! Who is compared: strategies that the library knows by name, and one's own.

use std::sync::Arc;

use equipoise::{
    Strategy, StrategySpec,
    sim::{Contender, named},
};

/// One of them.
pub(crate) type Entrant = Arc<dyn Contender + Send + Sync>;

/// A strategy of one's own: what `--strategy` and tables call it, and how it is made for the client with a number.
pub(crate) fn own<S: Strategy>(name: &'static str, make: impl Fn(usize) -> S + Send + Sync + 'static) -> Entrant {
    Arc::new(named(name, make))
}

/// The strategy of that name: one's own come first.
pub(crate) fn named_so(text: &str) -> Result<Entrant, String> {
    let own = crate::yours().into_iter().find(|entrant| entrant.label() == text);
    own.map_or_else(|| known(text), Ok)
}

fn known(text: &str) -> Result<Entrant, String> {
    Ok(Arc::new(text.parse::<StrategySpec>().map_err(|error| error.to_string())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_found_among_one_s_own_and_among_those_of_the_library() {
        for name in ["demerits", "p2c(choices=3)"] {
            assert_eq!(named_so(name).map(|entrant| entrant.label()), Ok(name.to_owned()));
        }
        assert!(named_so("nobody").is_err());
    }
}
