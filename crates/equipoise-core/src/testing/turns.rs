//! Two checks with random pools: random endpoints, weights, tiers, availabilities and exclusions. The first: if a usable
//! endpoint exists, every pick returns one. The second: a pool accepts requests until every endpoint has its maximum
//! number of requests in flight.

use std::{fmt, time::Duration};

use super::{
    Check, Findings,
    world::{Chance, World, id, spec},
};
use crate::{
    endpoint::{Availability, EndpointId, Tier},
    lease::Lease,
    pool::PickError,
    request::PickRequest,
    strategy::AnyStrategy,
    verdict::{Failure, Verdict},
};

struct Size {
    names: usize,
    /// The minimum number of quarters of the names that are members.
    quarters: usize,
    /// The number of turns. It is large enough for slots to be reused several times.
    turns: usize,
    /// In each turn, every `alone`-th member is tried as the only member that is not excluded.
    alone: usize,
}

/// In the large size about 36 of 130 endpoints are usable: three quarters are members, three quarters of these are in
/// the first tier and have a weight, and two thirds of these are up. In a part with half of the members, 18 are usable.
/// That is more than strategies look at per pick.
const SIZES: [Size; 2] =
    [Size { names: 14, quarters: 1, turns: 14, alone: 1 }, Size { names: 130, quarters: 3, turns: 5, alone: 10 }];

pub(super) struct Turns<'a> {
    /// The check that the findings count for. `None`: each finding counts for its own check.
    pub(super) as_check: Option<Check>,
    /// The name of the wrapping strategy, for messages.
    pub(super) wrapped: &'a str,
}

struct Member {
    at: usize,
    weight: u32,
    tier: u8,
    availability: Availability,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{} (weight {}, tier {}, {})", self.at, self.weight, self.tier, self.availability)
    }
}

impl Turns<'_> {
    pub(super) fn run(&self, make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
        SIZES.iter().for_each(|size| self.run_with(size, make, seed, findings));
    }

    fn run_with(&self, size: &Size, make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
        let dice = Chance::new(!seed);
        let world = World::new(make(), seed);
        for turn in 0..size.turns {
            world.clock.advance(Duration::from_secs(dice.below(20) as u64));
            let members = draw(size, &dice);
            let specs = members.iter().map(|member| {
                let zone = ["a", "b", ""][(member.at + turn / 5) % 3];
                spec(member.at).weight(member.weight).tier(Tier::new(member.tier)).zone(zone)
            });
            if let Err(error) = world.pool.update(specs, |_| ()) {
                let evidence = format!("{}refuses {}: {error}", self.wrapped, list(&members));
                return findings.note(self.as_check.unwrap_or(Check::Usable), seed, evidence);
            }
            for member in &members {
                if let Err(error) = world.pool.set_availability(id(member.at), member.availability) {
                    let evidence = format!("{}refuses that one is {}: {error}", self.wrapped, member.availability);
                    return findings.note(self.as_check.unwrap_or(Check::Usable), seed, evidence);
                }
            }
            let mut asked = |excluded: Vec<EndpointId>| self.pick(&world, &members, &excluded, seed, &dice, findings);
            for _ in 0..6 {
                asked(members.iter().filter(|_| dice.one_in(3)).map(|member| id(member.at)).collect());
                asked(Vec::new());
            }
            for only in members.iter().skip(turn % size.alone).step_by(size.alone) {
                asked(members.iter().filter(|member| member.at != only.at).map(|member| id(member.at)).collect());
            }
        }
    }

    fn pick(
        &self,
        world: &World,
        members: &[Member],
        excluded: &[EndpointId],
        seed: u64,
        dice: &Chance,
        findings: &mut Findings,
    ) {
        let usable = |member: &Member| {
            member.weight > 0 && member.availability == Availability::Up && !excluded.contains(&id(member.at))
        };
        let first = members.iter().filter(|member| usable(member)).map(|member| member.tier).min();
        let key = (dice.below(1 << 20) as u32).to_le_bytes();
        let request = PickRequest::new().exclude(excluded);
        let picked = world.pool.pick(&if dice.one_in(3) { request } else { request.key(&key) });
        let mut fault = |check: Check, what: String| {
            let evidence = format!("{}of {}, excluded {excluded:?}: {what}", self.wrapped, list(members));
            findings.note(self.as_check.unwrap_or(check), seed, evidence);
        };
        match (&picked, first) {
            (Err(PickError::Misbehaved { slot }), _) => {
                fault(Check::Usable, format!("picked slot {}, which cannot be picked", slot.index()));
            }
            (Err(PickError::Panicked), _) => fault(Check::Usable, "panicked".to_owned()),
            (Err(error), Some(_)) => fault(Check::Finds, format!("picked no endpoint ({error})")),
            (Ok(lease), first) => {
                let it = members.iter().find(|member| id(member.at) == *lease.endpoint().id());
                match it {
                    Some(it) if !usable(it) => fault(Check::Usable, format!("picked {it}")),
                    Some(it) if Some(it.tier) != first => {
                        fault(
                            Check::Finds,
                            format!("found no endpoint in the first tier that has a usable one: picked {it}"),
                        );
                    }
                    Some(_) => {}
                    None => fault(Check::Usable, format!("picked {}, which was removed", lease.endpoint().id())),
                }
            }
            (Err(_), None) => {}
        }
        if let Ok(lease) = picked {
            world.clock.advance(Duration::from_millis(1 + dice.below(20) as u64));
            lease.finish(if dice.one_in(5) { Verdict::Failure(Failure::Server) } else { Verdict::Success });
        }
    }
}

fn draw(size: &Size, dice: &Chance) -> Vec<Member> {
    let quarters = size.quarters + dice.below(4 - size.quarters);
    let mut members: Vec<Member> = (0..size.names)
        .filter(|_| dice.below(4) < quarters)
        .map(|at| Member {
            at,
            weight: dice.below(4) as u32,
            tier: u8::from(dice.one_in(4)),
            availability: match dice.below(6) {
                0 => Availability::Maintenance,
                1 => Availability::Draining,
                _ => Availability::Up,
            },
        })
        .collect();
    if !members.iter().any(|member| member.weight > 0) {
        members.retain(|member| member.at != 0);
        members.push(Member { at: 0, weight: 1, tier: 0, availability: Availability::Up });
    }
    members
}

fn list(members: &[Member]) -> String {
    members.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Fills the pool to its limits several times.
pub(super) fn limits(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    for limits in [&[3, 3, 3, 3][..], &[1, 2, 3], &[2; 20]] {
        let mut fault = |what: String| findings.note(Check::Limits, seed, format!("limits {limits:?}: {what}"));
        let (dice, world) = (Chance::new(!seed), World::new(make(), seed));
        let specs = limits.iter().enumerate().map(|(at, &limit)| spec(at).max_in_flight(limit));
        if let Err(error) = world.pool.update(specs, |_| ()) {
            fault(format!("the strategy refuses them: {error}"));
            continue;
        }
        let places: u32 = limits.iter().sum();
        let mut leases: Vec<Lease<()>> = Vec::new();
        for round in 0..60u32 {
            while (leases.len() as u32) < places {
                let key = (dice.below(1 << 20) as u32).to_le_bytes();
                match world.pool.pick(&PickRequest::new().key(&key)) {
                    Ok(lease) => leases.push(lease),
                    Err(error) => {
                        return fault(format!(
                            "round {round}, {} of {places} places given out: picked no endpoint ({error})",
                            leases.len()
                        ));
                    }
                }
            }
            match world.pool.pick(&PickRequest::new()) {
                Err(PickError::Saturated) => {}
                other => return fault(format!("round {round}, all {places} places given out: {other:?}")),
            }
            // The first rounds end all leases. Later rounds end one to three, so that only the endpoints that just
            // became free can be picked.
            let back = if round < 3 { leases.len() } else { 1 + dice.below(3) };
            for _ in 0..back.min(leases.len()) {
                leases.swap_remove(dice.below(leases.len())).finish(Verdict::Success);
            }
        }
        drop(leases);
        if let Some(status) = world.pool.endpoints().iter().find(|status| status.in_flight != 0) {
            fault(format!("{} in flight at {} after all leases had ended", status.in_flight, status.id));
        }
    }
}
