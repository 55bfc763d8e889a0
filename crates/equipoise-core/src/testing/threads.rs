//! The check that picks on two threads succeed while the pool changes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{
    Check, Findings,
    world::{World, id, spec},
};
use crate::{
    endpoint::{Availability, EndpointId},
    lease::Lease,
    pool::PickError,
    request::PickRequest,
    strategy::AnyStrategy,
    sync::Mutex,
    verdict::Verdict,
};

const CHANGES: usize = 40;
/// The minimum number of picks of each thread, even if the changes take less time.
const PICKS: u32 = 1_000;

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, seed: u64, may_refuse: bool, findings: &mut Findings) {
    let faults = Mutex::new(Vec::new());
    for least in [4, 30] {
        changes(make, least, seed, may_refuse, &faults);
    }
    for n in [10, 40] {
        no_request_starves(make, n, seed, may_refuse, &faults);
    }
    for fault in faults.lock().drain(..) {
        findings.note(Check::Threads, seed, fault);
    }
}

/// Two threads pick while members and availability change. There are always at least `least` members.
fn changes(make: &dyn Fn() -> AnyStrategy, least: usize, seed: u64, may_refuse: bool, faults: &Mutex<Vec<String>>) {
    let world = World::new(make(), seed);
    let members = |turn: usize| (0..least + turn % 7).map(move |at| spec(at).weight(1 + (at + turn) as u32 % 3));
    if let Err(error) = world.pool.update(members(0), |_| ()) {
        return faults.lock().push(format!("refuses its members: {error}"));
    }
    let done = AtomicBool::new(false);
    let excluded = [id(1), id(2)];
    std::thread::scope(|scope| {
        for thread in 0..2u32 {
            let (world, done, excluded) = (&world, &done, &excluded);
            scope.spawn(move || {
                let mut held: Vec<Lease<()>> = Vec::new();
                let mut turn = 0u32;
                while turn < PICKS || !done.load(Ordering::Relaxed) {
                    turn = turn.wrapping_add(1);
                    let key = turn.wrapping_mul(2).wrapping_add(thread).to_le_bytes();
                    let again = turn.is_multiple_of(3);
                    let request = PickRequest::new().key(&key);
                    let request = if again { request.exclude(excluded) } else { request };
                    match world.pool.pick(&request) {
                        Ok(lease) if again && excluded.contains(lease.endpoint().id()) => {
                            faults.lock().push(format!("picked {}, which is excluded", lease.endpoint().id()));
                        }
                        Ok(lease) => held.push(lease),
                        Err(PickError::Saturated) if may_refuse => {}
                        Err(error) => faults.lock().push(format!("picked no endpoint while things changed ({error})")),
                    }
                    if held.len() > 3 {
                        held.swap_remove(turn as usize % 3).finish(Verdict::Success);
                    }
                }
            });
        }
        let change = |turn: usize| {
            world.clock.advance(Duration::from_millis(300));
            world.pool.update(members(turn), |_| ())?;
            for (at, to) in [(1, Availability::Maintenance), (2, Availability::Draining)] {
                let now = if turn % 3 == at { to } else { Availability::Up };
                world.pool.set_availability(id(at), now)?;
            }
            Ok::<(), crate::pool::UpdateError>(())
        };
        if let Some(error) = (0..CHANGES).find_map(|turn| change(turn).err()) {
            faults.lock().push(format!("a change was refused: {error}"));
        }
        done.store(true, Ordering::Relaxed);
    });
    for status in world.pool.endpoints().iter().filter(|status| status.in_flight != 0) {
        faults.lock().push(format!("{} in flight at {} after all leases had ended", status.in_flight, status.id));
    }
    for at in 0..least + (CHANGES - 1) % 7 {
        world.pool.set_availability(id(at), Availability::Up).ok();
        let others: Vec<EndpointId> = (0..least + 7).filter(|&other| other != at).map(id).collect();
        if let Err(error) = world.pool.pick(&PickRequest::new().key(b"last").exclude(&others)) {
            faults.lock().push(format!("afterwards, with all but e{at} excluded: picked no endpoint ({error})"));
        }
    }
}

/// Two threads pick while all endpoints except the last are excluded.
fn no_request_starves(
    make: &dyn Fn() -> AnyStrategy,
    n: usize,
    seed: u64,
    may_refuse: bool,
    faults: &Mutex<Vec<String>>,
) {
    let weights: Vec<u32> = (0..n as u32).map(|at| 1 + at % 4 / 2).collect();
    let Ok(world) = World::of(make(), &weights, seed) else { return };
    let last = n - 1;
    let excluded: Vec<EndpointId> = (0..last).map(id).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for turn in 0..PICKS {
                    match world.pool.pick(&PickRequest::new().key(&turn.to_le_bytes()).exclude(&excluded)) {
                        Ok(lease) if *lease.endpoint().id() == id(last) => lease.finish(Verdict::Success),
                        Err(PickError::Saturated) if may_refuse => {}
                        other => faults.lock().push(format!("of {n}, all but e{last} excluded: {other:?}")),
                    }
                }
            });
        }
    });
}
