//! A strategy that is only used for comparison.

use equipoise_core::{BuildError, EndpointSpec, PickCx, Picker, Slot, Strategy, View};

/// Join idle queue: a random idle endpoint, or any random endpoint if none is idle.
pub(super) struct AnyIdle;

pub(super) struct AnyIdlePicker(Vec<Slot>);

impl Strategy for AnyIdle {
    type State = ();
    type Picker = AnyIdlePicker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&AnyIdlePicker>) -> Result<AnyIdlePicker, BuildError> {
        Ok(AnyIdlePicker(view.eligible().to_vec()))
    }
}

impl Picker for AnyIdlePicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let idle: Vec<Slot> = self.0.iter().copied().filter(|slot| cx.view().in_flight(*slot) == 0).collect();
        let among = if idle.is_empty() { &self.0 } else { &idle };
        let any = cx.random().checked_rem(among.len() as u64)?;
        among.get(any as usize).copied()
    }
}
