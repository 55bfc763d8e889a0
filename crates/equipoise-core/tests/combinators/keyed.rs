//! A minimal strategy that places requests by key.

use equipoise_core::{BuildError, EndpointSpec, Needs, PickCx, PickRequest, Picker, Pool, Slot, Strategy, View};

use crate::common::at;

#[derive(Clone, Copy)]
pub(crate) struct ByKey;

pub(crate) struct Table(Vec<Slot>);

impl Strategy for ByKey {
    type State = ();
    type Picker = Table;

    fn state(&self, _: &EndpointSpec) {}

    fn needs(&self) -> Needs {
        Needs::new().key()
    }

    fn build(&self, view: &View, _last: Option<&Table>) -> Result<Table, BuildError> {
        Ok(Table(view.members().to_vec()))
    }
}

impl Picker for Table {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let start = cx.key().map_or(0, |key| key.iter().map(|&byte| usize::from(byte)).sum::<usize>());
        let walk = (start..start + self.0.len()).map(|at| self.0[at % self.0.len()]);
        let eligible = cx.view().eligible().to_vec();
        walk.filter(|slot| eligible.contains(slot)).find(|&slot| cx.usable(slot))
    }
}

/// Returns the endpoint of each of `n` keys.
pub(crate) fn owners(pool: &Pool<()>, n: u32) -> Vec<usize> {
    (0..n).map(|key| at(&pool.pick(&PickRequest::new().key(&key.to_le_bytes())).expect("an endpoint"))).collect()
}
