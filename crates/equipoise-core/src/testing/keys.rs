//! The checks of keys: the endpoint of each key, and the changes that may move a key to another endpoint.

use std::time::Duration;

use super::{
    Check, Findings,
    weights::follow,
    world::{World, id, specs, specs_with, strangers},
};
use crate::{
    endpoint::{Availability, EndpointId},
    request::PickRequest,
    strategy::AnyStrategy,
};

const KEYS: u64 = 4_000;
const SIZES: [usize; 2] = [10, 40];

/// Returns the endpoint of each key. `None` if the pick failed.
fn places(world: &World, excluded: &[EndpointId], seed: u64) -> Vec<Option<EndpointId>> {
    let place = |key: u64| {
        let key = (key ^ seed).to_le_bytes();
        let picked = world.pool.pick(&PickRequest::new().key(&key).exclude(excluded));
        picked.ok().map(|lease| lease.endpoint().id().clone())
    };
    (0..KEYS).map(place).collect()
}

/// Returns the number of keys that moved although they did not belong to `own`, and a description of the first of them.
fn moved(before: &[Option<EndpointId>], after: &[Option<EndpointId>], own: &EndpointId) -> (usize, Option<String>) {
    let mut others =
        (before.iter().zip(after)).enumerate().filter(|(_, (was, is))| was != is && was.as_ref() != Some(own));
    let first = others.next().map(|(key, (was, is))| format!("key {key} went from {was:?} to {is:?}"));
    (usize::from(first.is_some()) + others.count(), first)
}

pub(super) fn spread(make: &dyn Fn() -> AnyStrategy, tolerance: f64, seed: u64, findings: &mut Findings) {
    let many: Vec<u32> = (0..40).map(|at| 1 + at % 4).collect();
    for weights in [&[1; 10][..], &[1, 2, 3, 4], &many] {
        for stranger in strangers(weights.len()) {
            let Ok(world) = World::of(make(), weights, seed) else {
                return findings.note(Check::SpreadsKeys, seed, format!("refuses weights {weights:?}"));
            };
            let mut ids: Vec<EndpointId> = (0..weights.len()).map(id).collect();
            spread_in(&world, &ids, weights, tolerance, seed, findings);
            // Only the slots stay the same.
            let mut weights = weights.to_vec();
            weights.rotate_left(1);
            ids[1] = stranger.id().clone();
            if let Err(error) = world.pool.update(specs_with(&stranger, &weights), |_| ()) {
                return findings.note(Check::SpreadsKeys, seed, format!("refuses weights {weights:?}: {error}"));
            }
            // The time is long enough for any slow start to end.
            world.clock.advance(Duration::from_secs(3600));
            spread_in(&world, &ids, &weights, tolerance, seed, findings);
        }
    }
}

fn spread_in(world: &World, ids: &[EndpointId], weights: &[u32], tolerance: f64, seed: u64, findings: &mut Findings) {
    let first = places(world, &[], seed);
    let again = places(world, &[], seed);
    let of = format!("{} to {} with weights {weights:?}", ids[0], ids[ids.len() - 1]);
    if let Some(key) = (0..first.len()).find(|&key| first[key] != again[key]) {
        let (was, is) = (&first[key], &again[key]);
        findings.note(Check::KeepsKeys, seed, format!("{of}: key {key} at {was:?}, then at {is:?}"));
    }
    let count = |id: &EndpointId| first.iter().filter(|place| place.as_ref() == Some(id)).count() as u32;
    if let Err(what) = follow(&ids.iter().map(count).collect::<Vec<_>>(), weights, tolerance) {
        findings.note(Check::SpreadsKeys, seed, format!("{of}, {KEYS} keys: {what}"));
    }
}

pub(super) fn availability_changes(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    for n in SIZES {
        let Ok(world) = World::of(make(), &vec![1; n], seed) else {
            return findings.note(Check::AvailabilityChanges, seed, format!("refuses {n} endpoints"));
        };
        let before = places(&world, &[], seed);
        let mut judge = |what: &str, own: &EndpointId, after: &[Option<EndpointId>]| {
            if let (1.., Some(first)) = moved(&before, after, own) {
                findings.note(Check::AvailabilityChanges, seed, format!("of {n}, {what}: {first}"));
            }
        };
        for at in [0, 3, n - 1] {
            let own = id(at);
            judge(&format!("{own} excluded"), &own, &places(&world, std::slice::from_ref(&own), seed));
            for (to, what) in [(Availability::Maintenance, "in maintenance"), (Availability::Up, "up again")] {
                if world.pool.set_availability(own.clone(), to).is_ok() {
                    // When the endpoint is up again, its own keys must be back too.
                    let own = if to == Availability::Up { EndpointId::from("no endpoint") } else { own.clone() };
                    judge(&format!("e{at} {what}"), &own, &places(&world, &[], seed));
                }
            }
        }
    }
}

pub(super) fn removal(make: &dyn Fn() -> AnyStrategy, others: f64, seed: u64, findings: &mut Findings) {
    for (n, at) in SIZES.into_iter().flat_map(|n| [0, 4, n - 1].map(|at| (n, at))) {
        let all = vec![1; n];
        let Ok(world) = World::of(make(), &all, seed) else {
            return findings.note(Check::Removals, seed, format!("refuses {n} endpoints"));
        };
        let before = places(&world, &[], seed);
        let left = specs(&all).filter(|spec| *spec.id() != id(at));
        if let Err(error) = world.pool.update(left, |_| ()) {
            return findings.note(Check::Removals, seed, format!("refuses that e{at} leaves: {error}"));
        }
        let (count, first) = moved(&before, &places(&world, &[], seed), &id(at));
        let most = others * KEYS as f64;
        if count as f64 > most {
            let first = first.unwrap_or_default();
            let what =
                format!("of {n}, e{at} left: {count} of {KEYS} keys of others moved (at most {most:.0}): {first}");
            findings.note(Check::Removals, seed, what);
        }
    }
}
