//! What a strategy builds from: the members of one tier, and which of them are eligible.

use std::{any::Any, collections::HashMap, sync::Arc};

use crate::{
    endpoint::{Endpoint, EndpointId, EndpointSpec, Slot},
    load::Handle,
    pool::Revision,
};

/// One member as the current membership has it.
pub(crate) struct Member {
    pub(crate) spec: EndpointSpec,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// Everything that changes with `update` but not when health flips: shared by all views until the next update.
pub(crate) struct Members {
    /// By slot; `None` where nobody lives.
    pub(crate) slots: Box<[Option<Member>]>,
    /// Stripe after stripe, each as long as `slots`: a thread stays within its own part.
    pub(crate) handles: Box<[Option<Arc<Handle>>]>,
    pub(crate) index: HashMap<EndpointId, Slot>,
    /// Whether any member has a limit, so that pools without one need not look.
    pub(crate) limited: bool,
    pub(crate) revision: Revision,
}

impl Members {
    pub(crate) fn empty() -> Self {
        Self {
            slots: Box::default(),
            handles: Box::default(),
            index: HashMap::new(),
            limited: false,
            revision: Revision::default(),
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Member> {
        self.slots.get(slot.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn handle(&self, slot: Slot, stripe: usize) -> Option<&Arc<Handle>> {
        self.handles.get(stripe * self.slots.len() + slot.index())?.as_ref()
    }

    #[inline]
    pub(crate) fn in_flight(&self, slot: Slot) -> u32 {
        let stride = self.slots.len();
        let mut at = slot.index();
        let mut sum = 0u32;
        while let Some(handle) = self.handles.get(at) {
            sum = sum.wrapping_add(handle.as_ref().map_or(0, |handle| handle.in_flight()));
            at += stride;
        }
        sum
    }
}

/// The members of one tier, and which of them are eligible: what [`Strategy::build`](crate::Strategy::build) gets,
/// and what a [`Picker`](crate::Picker) sees through its context.
///
/// A pool builds one view and one picker per tier, so a strategy need not know about tiers. Everything in a view is
/// immutable but the load signals ([`in_flight`](Self::in_flight)).
pub struct View {
    pub(crate) all: Arc<Members>,
    pub(crate) members: Arc<[Slot]>,
    pub(crate) eligible: Box<[Slot]>,
}

impl View {
    /// All members of the tier, in the order of their slots, whether eligible or not.
    pub fn members(&self) -> &[Slot] {
        &self.members
    }

    /// The members that may be picked: open and of a weight above 0; in the order of their slots.
    pub fn eligible(&self) -> &[Slot] {
        &self.eligible
    }

    /// One more than the highest slot index that can occur: the length of a table indexed by slot.
    pub fn capacity(&self) -> usize {
        self.all.slots.len()
    }

    /// The endpoint in `slot`, if somebody lives there.
    pub fn endpoint(&self, slot: Slot) -> Option<&Endpoint> {
        Some(&*self.all.get(slot)?.endpoint)
    }

    /// The weight of the endpoint in `slot`; 0 for an empty slot.
    pub fn weight(&self, slot: Slot) -> u32 {
        self.all.get(slot).map_or(0, |member| member.spec.weight_value())
    }

    /// How many leases the endpoint in `slot` has out; 0 for an empty slot. Counted from the pick to the release, so a
    /// burst of picks sees itself.
    #[inline]
    pub fn in_flight(&self, slot: Slot) -> u32 {
        self.all.in_flight(slot)
    }

    /// The memory that the strategy keeps of the endpoint in `slot`: the value that
    /// [`Strategy::state`](crate::Strategy::state) made when the endpoint came. Look it up when building and keep it:
    /// it is one allocation per endpoint that survives every update.
    pub fn state<S: Any + Send + Sync>(&self, slot: Slot) -> Option<Arc<S>> {
        Arc::clone(&self.all.get(slot)?.endpoint.state).downcast().ok()
    }

    /// When the membership (ids, addresses, weights, tiers, limits) last changed. While it stands still, tables that
    /// depend on membership alone can be taken over from the last picker.
    pub fn membership_revision(&self) -> Revision {
        self.all.revision
    }
}
