//! Strategies that nobody needs but for comparison.

use equipoise_core::{BuildError, EndpointSpec, PickCx, Picker, Slot, Strategy, View};

/// Looks at everybody, and lets chance decide among the best.
pub(super) struct ByChance(pub(super) Among);

/// Who the best are.
#[derive(Clone, Copy)]
pub(super) enum Among {
    /// Those with nothing to do; all, if there are none. Join idle queue.
    Idle,
    /// Those with the fewest.
    Fewest,
}

pub(super) struct Everybody {
    slots: Vec<Slot>,
    among: Among,
}

impl Strategy for ByChance {
    type State = ();
    type Picker = Everybody;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&Everybody>) -> Result<Everybody, BuildError> {
        Ok(Everybody { slots: view.eligible().to_vec(), among: self.0 })
    }
}

impl Picker for Everybody {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let in_flight = |slot: &Slot| cx.view().in_flight(*slot);
        let enough = match self.among {
            Among::Idle => 0,
            Among::Fewest => self.slots.iter().map(in_flight).min()?,
        };
        let few: Vec<Slot> = self.slots.iter().copied().filter(|slot| in_flight(slot) <= enough).collect();
        let among = if few.is_empty() { &self.slots } else { &few };
        let any = cx.random().checked_rem(among.len() as u64)?;
        among.get(any as usize).copied()
    }
}
