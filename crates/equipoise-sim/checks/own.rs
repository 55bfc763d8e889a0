//! A strategy that nobody needs but for comparison.

use equipoise_core::{BuildError, EndpointSpec, PickCx, Picker, Slot, Strategy, View};

/// Join idle queue: any of those with nothing to do; of all, if there are none.
pub(super) struct AnyIdle;

pub(super) struct Everybody(Vec<Slot>);

impl Strategy for AnyIdle {
    type State = ();
    type Picker = Everybody;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&Everybody>) -> Result<Everybody, BuildError> {
        Ok(Everybody(view.eligible().to_vec()))
    }
}

impl Picker for Everybody {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let idle: Vec<Slot> = self.0.iter().copied().filter(|slot| cx.view().in_flight(*slot) == 0).collect();
        let among = if idle.is_empty() { &self.0 } else { &idle };
        let any = cx.random().checked_rem(among.len() as u64)?;
        among.get(any as usize).copied()
    }
}
