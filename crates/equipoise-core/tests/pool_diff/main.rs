//! Property tests of the pool: random sequences of changes and picks, compared with a model that is a map by id.
#![cfg(not(loom))]

mod model;
mod ops;
mod watched;
mod world;

use proptest::{prelude::*, test_runner::FileFailurePersistence};

use crate::{
    ops::Op,
    world::{STRATEGIES, World},
};

fn config() -> ProptestConfig {
    let regressions = FileFailurePersistence::Direct("tests/pool_diff/regressions.txt");
    ProptestConfig { cases: 400, failure_persistence: Some(Box::new(regressions)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_pool_matches_the_model_after_every_operation(
        strategy in 0..STRATEGIES,
        seed: u64,
        history in prop::collection::vec(ops::any_op(), 1..60),
    ) {
        let mut world = World::new(strategy, seed);
        for op in history {
            world.apply(op)?;
            world.check()?;
        }
        world.end()?;
    }

    #[test]
    fn each_probation_is_for_one_request(
        strategy in 0..STRATEGIES,
        seed: u64,
        history in prop::collection::vec(ops::trial_op(), 1..60),
    ) {
        let mut world = World::new(strategy, seed);
        world.apply(Op::Update(ops::four()))?;
        for op in history {
            world.apply(op)?;
            world.check()?;
        }
        world.end()?;
    }

    #[test]
    fn a_refused_update_changes_nothing(
        strategy in 0..STRATEGIES,
        seed: u64,
        first in ops::valid_specs(),
        second in ops::faulty_specs(),
    ) {
        let mut world = World::new(strategy, seed);
        world.apply(Op::Update(first))?;
        world.apply(Op::Pick { exclude: Vec::new(), prefer: None })?;
        world.apply(Op::Update(second))?;
        world.check()?;
        world.end()?;
    }
}
