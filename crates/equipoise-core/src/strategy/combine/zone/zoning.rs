use std::collections::{BTreeMap, BTreeSet};

use crate::{endpoint::Slot, ids::Revision, view::View};

/// The zones of members and callers, which depend only on the membership.
pub(super) struct Zoning {
    /// By slot: the number of the endpoint's zone.
    zones: Box<[u32]>,
    /// By zone: its share of all callers.
    callers: Box<[f64]>,
    membership: Revision,
}

/// The number of the client's own zone.
const NEAR: u32 = 0;
/// The number of the zone that consists of the endpoints without a zone.
const NOWHERE: u32 = 1;

/// How requests are divided between the client's zone and the others.
pub(super) struct Plan {
    /// The share of the requests that stays in the client's zone.
    pub(super) stay: f64,
    /// By zone: the share of its capacity that its own callers do not need. `None` if only the weights decide where a
    /// request goes.
    pub(super) spare: Option<Vec<f64>>,
}

impl Zoning {
    pub(super) fn new(view: &View, near: &str, callers: Option<&BTreeMap<String, u32>>) -> Self {
        let weighty = || view.members().iter().copied().filter(|&slot| view.weight(slot) > 0);
        let far: BTreeSet<&str> = weighty().filter_map(|slot| view.zone(slot)).filter(|&zone| zone != near).collect();
        let numbers: BTreeMap<&str, u32> = far.into_iter().zip(NOWHERE + 1..).chain([(near, NEAR)]).collect();
        let mut zones = vec![NOWHERE; view.capacity()];
        for slot in weighty() {
            zones[slot.index()] = view.zone(slot).map_or(NOWHERE, |zone| numbers[zone]);
        }
        let mut parts = vec![0.0; numbers.len() + 1];
        match callers {
            Some(callers) => {
                let total: f64 = callers.values().map(|&n| f64::from(n)).sum();
                for (zone, &n) in callers {
                    if let Some(&number) = numbers.get(zone.as_str()) {
                        parts[number as usize] = f64::from(n) / total;
                    }
                }
            }
            None => numbers.values().for_each(|&number| parts[number as usize] = 1.0 / numbers.len() as f64),
        }
        Self { zones: zones.into(), callers: parts.into(), membership: view.membership_revision() }
    }

    pub(super) fn still_holds(&self, view: &View) -> bool {
        self.membership == view.membership_revision()
    }

    pub(super) fn is_near(&self, slot: Slot) -> bool {
        self.zones[slot.index()] == NEAR
    }

    /// Returns the entry of `by_zone` for the zone of an endpoint.
    pub(super) fn of(&self, by_zone: &[f64], slot: Slot) -> f64 {
        by_zone[self.zones[slot.index()] as usize]
    }

    pub(super) fn plan(&self, view: &View, min_eligible: usize) -> Plan {
        let mut capacity = vec![0.0; self.callers.len()];
        let mut near = 0;
        for &slot in view.eligible() {
            capacity[self.zones[slot.index()] as usize] += f64::from(view.weight(slot));
            near += usize::from(self.is_near(slot));
        }
        let total = capacity.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        capacity.iter_mut().for_each(|capacity| *capacity /= total);
        let (here, callers) = (capacity[NEAR as usize], self.callers[NEAR as usize]);
        if near < min_eligible.max(1) {
            return Plan { stay: here, spare: None };
        }
        // The numbers are sums of fractions, so that equal shares may differ in the last digit.
        if here >= callers - 1e-9 {
            return Plan { stay: 1.0, spare: None };
        }
        let left = |(part, callers): (&f64, &f64)| if part > callers { (part - callers) / part } else { 0.0 };
        Plan { stay: here / callers, spare: Some(capacity.iter().zip(&self.callers).map(left).collect()) }
    }
}
