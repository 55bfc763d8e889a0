//! The checks that compare each endpoint's share of the requests with its weight.

use std::time::Duration;

use super::{
    Check, Findings,
    world::{World, id, spec, specs, specs_with, strangers},
};
use crate::{
    endpoint::{Availability, EndpointId, EndpointSpec},
    lease::Lease,
    request::PickRequest,
    strategy::AnyStrategy,
    verdict::{Failure, Verdict},
};

const PICKS: u32 = 6_000;

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    let many: Vec<u32> = (0..24).map(|at| 1 + at % 4).collect();
    for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[20, 1], &many, &[1; 40]] {
        let mut judge = |check: Check, when: &str, outcome: Result<(), String>| {
            if let Err(what) = outcome {
                findings.note(check, seed, format!("weights {weights:?}{when}: {what}"));
            }
        };
        judge(Check::Weights, "", calm(make, weights, seed));
        judge(Check::Updates, ", while others came and went", with_guests(make, weights, seed));
        for stranger in strangers(weights.len()) {
            let when = format!(", before {} at {} took e1's place", stranger.id(), stranger.address());
            judge(Check::Updates, &when, with_stranger(make, weights, &stranger, seed));
        }
    }
}

fn calm(make: &dyn Fn() -> AnyStrategy, weights: &[u32], seed: u64) -> Result<(), String> {
    let world = World::of(make(), weights, seed).map_err(|error| error.to_string())?;
    follow(&shares(&world, &ids(weights), |_| Ok(()))?, weights, TOLERANCE)
}

/// An additional endpoint is added, goes into maintenance, is up again, and is removed.
fn with_guests(make: &dyn Fn() -> AnyStrategy, weights: &[u32], seed: u64) -> Result<(), String> {
    let world = World::of(make(), weights, seed).map_err(|error| error.to_string())?;
    let guest = weights.len();
    let change = |turn: u32| {
        let changed = match turn % 28 {
            0 => world.pool.add(spec(guest), ()).map(|_| ()),
            7 => world.pool.set_availability(id(guest), Availability::Maintenance).map(|_| ()),
            14 => world.pool.set_availability(id(guest), Availability::Up).map(|_| ()),
            21 => world.pool.update(specs(weights), |_| ()).map(|_| ()),
            _ => return Ok(()),
        };
        changed.map_err(|error| format!("a change was refused: {error}"))
    };
    follow(&shares(&world, &ids(weights), change)?, weights, TOLERANCE)
}

/// One update replaces e1, which has failed, and changes all weights. The strategy must not use state and tables of the
/// old members for the new ones in the same slots.
fn with_stranger(
    make: &dyn Fn() -> AnyStrategy,
    weights: &[u32],
    stranger: &EndpointSpec,
    seed: u64,
) -> Result<(), String> {
    let world = World::of(make(), weights, seed).map_err(|error| error.to_string())?;
    for _ in 0..PICKS / 10 {
        let lease = pick(&world)?;
        let is_bad = *lease.endpoint().id() == id(1);
        world.clock.advance(Duration::from_millis(if is_bad { 50 } else { 1 }));
        lease.finish(if is_bad { Verdict::Failure(Failure::Server) } else { Verdict::Success });
    }
    let mut weights = weights.to_vec();
    weights.rotate_left(1);
    let changed = world.pool.update(specs_with(stranger, &weights), |_| ());
    changed.map_err(|error| format!("the change was refused: {error}"))?;
    let mut ids = ids(&weights);
    ids[1] = stranger.id().clone();
    follow(&shares(&world, &ids, |_| Ok(()))?, &weights, TOLERANCE)
        .map_err(|what| format!("{what}, with weights {weights:?} since"))
}

fn ids(weights: &[u32]) -> Vec<EndpointId> {
    (0..weights.len()).map(id).collect()
}

/// Returns how often each of `ids` is picked. Sends one request at a time, and calls `change` before each.
fn shares(world: &World, ids: &[EndpointId], change: impl Fn(u32) -> Result<(), String>) -> Result<Vec<u32>, String> {
    let mut counts = vec![0; ids.len()];
    for turn in 0..PICKS {
        change(turn)?;
        let lease = pick(world)?;
        if let Some(at) = ids.iter().position(|id| lease.endpoint().id() == id) {
            counts[at] += 1;
        }
        world.clock.advance(Duration::from_millis(1));
        lease.finish(Verdict::Success);
    }
    Ok(counts)
}

fn pick(world: &World) -> Result<Lease<()>, String> {
    world.pool.pick(&PickRequest::new()).map_err(|error| format!("picked no endpoint ({error})"))
}

/// How far shares may differ in addition to random variation, because changes interrupt turns.
const TOLERANCE: f64 = 0.02;

/// Checks whether `counts` are in proportion to `weights`. Each may differ from its share by five standard deviations
/// of random draws, and in addition by `tolerance`, a fraction of the share.
pub(super) fn follow(counts: &[u32], weights: &[u32], tolerance: f64) -> Result<(), String> {
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let drawn = f64::from(counts.iter().sum::<u32>());
    for (at, (&count, &weight)) in counts.iter().zip(weights).enumerate() {
        let due = f64::from(weight) / total;
        let sampling = 5.0 * (drawn * due * (1.0 - due)).sqrt();
        let off = (f64::from(count) - drawn * due).abs();
        if off > sampling + tolerance * drawn * due {
            return Err(format!("e{at} got {count} of {drawn}, where {:.0} ± {sampling:.0} were due", drawn * due));
        }
    }
    Ok(())
}
