//! Strategies as text: parsing, writing, invalid texts and the list of strategies.

#[path = "../common/mod.rs"]
mod common;

mod built;
mod listed;
mod refused;
mod smallest;
mod texts;
mod written;

use equipoise_core::{InvalidStrategy, StrategySpec};

fn spec(text: &str) -> StrategySpec {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> InvalidStrategy {
    match text.parse::<StrategySpec>() {
        Ok(spec) => panic!("{text} was read as {spec}"),
        Err(error) => error,
    }
}
