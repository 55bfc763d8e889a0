//! Shares against weights.

use std::time::Duration;

use super::{
    Check, Findings,
    world::{World, id, spec, specs},
};
use crate::{endpoint::Availability, request::PickRequest, strategy::AnyStrategy, verdict::Verdict};

const PICKS: u32 = 6_000;

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    let many: Vec<u32> = (0..24).map(|at| 1 + at % 4).collect();
    for weights in [&[1, 1, 1, 1][..], &[1, 2, 3, 4], &[20, 1], &many] {
        for changing in [false, true] {
            let check = if changing { Check::Updates } else { Check::Weights };
            match shares(make, weights, changing, seed) {
                Ok(counts) => {
                    if let Err(what) = follow(&counts, weights, 0.02) {
                        let when = if changing { ", while others came and went" } else { "" };
                        findings.note(check, seed, format!("weights {weights:?}{when}: {what}"));
                    }
                }
                Err(what) => findings.note(check, seed, format!("weights {weights:?}: {what}")),
            }
        }
    }
}

/// Who was picked how often, without those that came and went.
fn shares(make: &dyn Fn() -> AnyStrategy, weights: &[u32], changing: bool, seed: u64) -> Result<Vec<u32>, String> {
    let world = World::of(make(), weights, seed).map_err(|error| error.to_string())?;
    let mut counts = vec![0; weights.len()];
    let guest = weights.len();
    for turn in 0..PICKS {
        if changing && turn % 7 == 0 {
            // Every other time somebody joins, closes, opens, leaves.
            let changed = match turn / 7 % 4 {
                0 => world.pool.add(spec(guest), ()).map(|_| ()),
                1 => world.pool.set_availability(id(guest), Availability::Closed).map(|_| ()),
                2 => world.pool.set_availability(id(guest), Availability::Open).map(|_| ()),
                _ => world.pool.update(specs(weights), |_| ()).map(|_| ()),
            };
            changed.map_err(|error| format!("a change was refused: {error}"))?;
        }
        let lease = world.pool.pick(&PickRequest::new()).map_err(|error| format!("picked nobody ({error})"))?;
        if let Some(at) = (0..weights.len()).find(|&at| *lease.endpoint().id() == id(at)) {
            counts[at] += 1;
        }
        world.clock.advance(Duration::from_millis(1));
        lease.finish(Verdict::Success);
    }
    Ok(counts)
}

/// Whether `counts` are in proportion to `weights`: each within five standard deviations of a fair draw, and
/// `tolerance` of its share.
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
