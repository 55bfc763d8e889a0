//! The check that picks do not allocate memory. The caller provides the counter.

use super::{
    Check, Findings,
    world::{World, id},
};
use crate::{request::PickRequest, strategy::AnyStrategy, verdict::Verdict};

/// Runs a closure and returns the number of allocations in it.
pub(super) type Counter<'a> = Box<dyn Fn(&mut dyn FnMut()) -> u64 + 'a>;

const PICKS: u32 = 200;

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, count: &Counter<'_>, seed: u64, findings: &mut Findings) {
    let many: Vec<u32> = (0..40).map(|at| 1 + at % 4).collect();
    for weights in [&[1; 4][..], &[1, 2, 3, 4], &many] {
        let Ok(world) = World::of(make(), weights, seed) else {
            return findings.note(Check::Allocations, seed, format!("refuses weights {weights:?}"));
        };
        let excluded = [id(1), id(3)];
        let mut picks = || {
            for turn in 0..PICKS {
                let key = turn.to_le_bytes();
                let request = if turn % 4 == 0 { PickRequest::new() } else { PickRequest::new().key(&key) };
                let request = if turn % 3 == 0 { request.exclude(&excluded) } else { request };
                if let Ok(lease) = world.pool.pick(&request) {
                    lease.finish(Verdict::Success);
                }
            }
        };
        // Allocations that a thread makes only once are not counted.
        picks();
        let made = count(&mut picks);
        if made > 0 {
            findings.note(
                Check::Allocations,
                seed,
                format!("weights {weights:?}: {made} allocations in {PICKS} picks"),
            );
        }
    }
}
