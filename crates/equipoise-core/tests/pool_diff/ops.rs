//! The operations on a pool, drawn at random.

use equipoise_core::{Availability, EndpointSpec, Failure, MAX_WEIGHT, Tier, Verdict};
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Update(Vec<Draft>),
    Add(Draft),
    Remove(String),
    SetWeight(String, u32),
    SetAvailability(String, Availability),
    SetPercent(String, u32),
    SetLimit(String, Option<u32>),
    Pick {
        exclude: Vec<String>,
        prefer: Option<String>,
    },
    /// Ends one of the leases in flight. The number is its position, modulo the number of leases.
    Release(usize, Option<Verdict>),
}

/// The settings of an `EndpointSpec` as fields that the model can read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) weight: u32,
    pub(crate) tier: u8,
    pub(crate) limit: Option<u32>,
}

impl Draft {
    pub(crate) fn spec(&self) -> EndpointSpec {
        let spec = EndpointSpec::new(&self.address).with_id(&self.id).weight(self.weight).tier(Tier::new(self.tier));
        self.limit.into_iter().fold(spec, EndpointSpec::max_in_flight)
    }
}

/// One of seven ids. The number is small so that several operations change the same endpoint.
fn id() -> impl Strategy<Value = String> {
    (0..7u8).prop_map(|n| format!("e{n}"))
}

fn weight() -> impl Strategy<Value = u32> {
    prop_oneof![2 => Just(0), 6 => 1..4u32, 1 => Just(MAX_WEIGHT), 1 => Just(999_983)]
}

fn availability() -> impl Strategy<Value = Availability> {
    prop_oneof![
        3 => Just(Availability::Up),
        3 => Just(Availability::Unhealthy),
        3 => Just(Availability::Probation),
        1 => Just(Availability::Draining),
        1 => Just(Availability::Maintenance),
    ]
}

fn verdict() -> impl Strategy<Value = Option<Verdict>> {
    prop_oneof![
        Just(None),
        Just(Some(Verdict::Neutral)),
        Just(Some(Verdict::Success)),
        Just(Some(Verdict::Failure(Failure::Server))),
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let address = prop_oneof![4 => Just("10.0.0.1:80"), 1 => Just("10.0.0.2:80")];
    let limit = prop_oneof![3 => Just(None), 1 => (1..3u32).prop_map(Some)];
    (id(), address, weight(), 0..2u8, limit).prop_map(|(id, address, weight, tier, limit)| Draft {
        id,
        address: address.to_owned(),
        weight,
        tier,
        limit,
    })
}

/// Drafts in which each id occurs at most once. The pool still refuses them if no endpoint has a weight above 0.
pub(crate) fn valid_specs() -> impl Strategy<Value = Vec<Draft>> {
    prop::collection::vec(draft(), 0..8).prop_map(|mut drafts| {
        let mut seen = std::collections::HashSet::new();
        drafts.retain(|draft| seen.insert(draft.id.clone()));
        drafts
    })
}

/// Drafts with at least one error.
pub(crate) fn faulty_specs() -> impl Strategy<Value = Vec<Draft>> {
    (valid_specs(), draft(), 0..6u8, any::<prop::sample::Index>()).prop_map(|(mut drafts, mut bad, fault, at)| {
        match fault {
            0 => bad.id = String::new(),
            1 => bad.id = "x".repeat(256),
            2 => bad.id = "new\nline".to_owned(),
            3 => bad.weight = MAX_WEIGHT + 1,
            4 => bad.limit = Some(0),
            _ => {
                drafts.retain(|draft| draft.id != bad.id);
                drafts.push(bad.clone());
            }
        }
        if fault < 5 {
            drafts.retain(|draft| draft.id != bad.id);
        }
        drafts.insert(at.index(drafts.len() + 1), bad);
        drafts
    })
}

/// Members of one tier that change between probation and up.
pub(crate) fn trial_op() -> impl Strategy<Value = Op> {
    let id = || (0..2u8).prop_map(|n| format!("e{n}"));
    let availability = prop_oneof![4 => Just(Availability::Probation), 1 => Just(Availability::Up)];
    prop_oneof![
        1 => (id(), availability).prop_map(|(id, availability)| Op::SetAvailability(id, availability)),
        3 => id().prop_map(|id| Op::Pick { exclude: Vec::new(), prefer: Some(id) }),
        2 => (any::<usize>(), verdict()).prop_map(|(at, verdict)| Op::Release(at, verdict)),
    ]
}

/// Four endpoints of weight 1 in one tier.
pub(crate) fn four() -> Vec<Draft> {
    let draft = |n| Draft { id: format!("e{n}"), address: "10.0.0.1:80".to_owned(), weight: 1, tier: 0, limit: None };
    (0..4).map(draft).collect()
}

pub(crate) fn any_op() -> impl Strategy<Value = Op> {
    let update = prop_oneof![5 => valid_specs(), 1 => faulty_specs()];
    let bad = faulty_specs().prop_map(|mut drafts| drafts.swap_remove(0));
    let new_weight = prop_oneof![8 => weight(), 1 => Just(MAX_WEIGHT + 1)];
    prop_oneof![
        4 => update.prop_map(Op::Update),
        4 => draft().prop_map(Op::Add),
        1 => bad.prop_map(Op::Add),
        2 => id().prop_map(Op::Remove),
        2 => (id(), new_weight).prop_map(|(id, weight)| Op::SetWeight(id, weight)),
        5 => (id(), availability()).prop_map(|(id, availability)| Op::SetAvailability(id, availability)),
        12 => (prop::collection::vec(id(), 0..5), prop::option::of(id()))
            .prop_map(|(exclude, prefer)| Op::Pick { exclude, prefer }),
        1 => (id(), prop_oneof![Just(0u32), Just(50), Just(100)]).prop_map(|(id, percent)| Op::SetPercent(id, percent)),
        1 => (id(), prop::option::of(0..3u32)).prop_map(|(id, limit)| Op::SetLimit(id, limit)),
        6 => (any::<usize>(), verdict()).prop_map(|(at, verdict)| Op::Release(at, verdict)),
    ]
}
