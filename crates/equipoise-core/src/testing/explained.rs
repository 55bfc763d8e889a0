//! The check that an explanation names the endpoint that a pick would choose, and changes nothing.

use std::time::Duration;

use super::{
    Check, Findings,
    world::{World, id},
};
use crate::{candidate::CandidateResult, lease::Lease, request::PickRequest, strategy::AnyStrategy, verdict::Verdict};

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    let long: Vec<u32> = (0..30).map(|at| 1 + at % 3).collect();
    for weights in [&[1, 1, 1, 1][..], &[3, 1, 2, 5, 1], &long] {
        let world = match World::of(make(), weights, seed) {
            Ok(world) => world,
            Err(error) => return findings.note(Check::Explains, seed, format!("refuses {weights:?}: {error}")),
        };
        let mut held: Vec<Lease<()>> = Vec::new();
        let excluded = [id(1)];
        for turn in 0..60u32 {
            let key = turn.to_le_bytes();
            let mut request = PickRequest::new().key(&key);
            if turn % 3 == 0 {
                request = request.exclude(&excluded);
            }
            let before = world.pool.endpoints();
            // Explanations and the pick get the same random numbers.
            let explain = || {
                world.chance.restart(u64::from(turn) ^ seed);
                world.pool.explain(&request)
            };
            let (first, again) = (explain(), explain());
            let untouched = before == world.pool.endpoints();
            world.chance.restart(u64::from(turn) ^ seed);
            let picked = world.pool.pick(&request);
            let got = picked.as_ref().map(|lease| lease.endpoint().id().clone()).map_err(Clone::clone);
            let mut fault = |what: String| {
                findings.note(Check::Explains, seed, format!("weights {weights:?}, pick {turn}: {what}"));
            };
            if first.picked != again.picked {
                fault(format!("explained {:?}, and then {:?}", first.picked, again.picked));
            } else if first.picked != got {
                fault(format!("explained {:?}, but picked {got:?}", first.picked));
            }
            if !untouched {
                fault("an explanation changed what is in flight".to_owned());
            }
            for candidate in &first.candidates {
                let is_picked = candidate.result == CandidateResult::Picked;
                if is_picked != (first.picked.as_ref() == Ok(&candidate.status.id)) {
                    fault(format!("{} is {} in the explanation", candidate.status.id, candidate.result));
                }
            }
            if let Ok(lease) = picked {
                held.push(lease);
            }
            world.clock.advance(Duration::from_millis(u64::from(turn % 7)));
            if held.len() > 6 {
                held.swap_remove(turn as usize % 6).finish(Verdict::Success);
            }
        }
    }
}
