//! Runs the quick checks of `checks/`. The binary `checks` runs all of them at full length.

#[allow(dead_code, reason = "only the binary runs long checks")]
#[path = "../checks/mod.rs"]
mod checks;

use checks::{ALL, Effort};

#[test]
fn strategies_do_what_theory_says() {
    let outcomes = ALL.iter().filter(|check| check.is_quick).map(|check| (check.number, check.run(Effort::Quick)));
    let failed: Vec<&str> = outcomes
        .filter_map(|(number, outcome)| {
            let outcome = outcome.unwrap_or_else(|error| panic!("check {number}: {error}"));
            println!("{outcome}");
            (!outcome.holds()).then_some(number)
        })
        .collect();
    assert!(failed.is_empty(), "these deviate: {failed:?}");
}
