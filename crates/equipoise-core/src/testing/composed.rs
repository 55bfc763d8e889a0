//! The check that a strategy inside wrapping strategies picks only endpoints that are in the view and not filtered out.

use std::sync::Arc;

use super::{Check, Findings, turns::Turns};
use crate::{
    endpoint::{EndpointSpec, Slot},
    forward_hooks,
    strategy::{AnyStrategy, BuildError, Needs, PickCx, Picker, SlowStart, Strategy, Subset, ZoneAware},
    sync::Mutex,
    view::{Layered, View},
};

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    let watch: Watch = Arc::default();
    let half = || Half { inner: make(), watch: Arc::clone(&watch) };
    let slow = || AnyStrategy::new(SlowStart::new(make()));
    let subset = || AnyStrategy::new(Subset::new(make(), 3, seed));
    let zone = || AnyStrategy::new(ZoneAware::new(make(), "a"));
    let shown = || AnyStrategy::new(half());
    let deep = || AnyStrategy::new(SlowStart::new(ZoneAware::new(half(), "b")));
    let nests: [(&str, &dyn Fn() -> AnyStrategy); 5] = [
        ("in SlowStart: ", &slow),
        ("in Subset: ", &subset),
        ("in ZoneAware: ", &zone),
        ("in a part: ", &shown),
        ("in a part in ZoneAware in SlowStart: ", &deep),
    ];
    for (wrapped, make) in nests {
        Turns { as_check: Some(Check::Composes), wrapped }.run(make, seed, findings);
    }
    for what in watch.lock().drain(..) {
        findings.note(Check::Composes, seed, what);
    }
}

type Watch = Arc<Mutex<Vec<String>>>;

/// A wrapping strategy: it shows the wrapped strategy every other member, and filters out one of them. If the wrapped
/// strategy picks no endpoint, it picks the first usable endpoint of all.
struct Half<S> {
    inner: S,
    watch: Watch,
}

struct HalfPicker<P> {
    inner: P,
    part: View,
    kept: Option<Slot>,
    all: Arc<[Slot]>,
    watch: Watch,
}

impl<S: Strategy> Strategy for Half<S> {
    type State = Layered<(), S::State>;
    type Picker = HalfPicker<S::Picker>;

    fn state(&self, spec: &EndpointSpec) -> Self::State {
        Layered::new((), self.inner.state(spec))
    }

    fn build(&self, view: &View, last: Option<&Self::Picker>) -> Result<Self::Picker, BuildError> {
        let inside = view.within::<(), S::State>();
        let some = inside.narrowed(|slot| slot.index() % 2 == 1);
        let part = if some.members().is_empty() { inside } else { some };
        Ok(HalfPicker {
            inner: self.inner.build(&part, last.map(|last| &last.inner))?,
            kept: part.eligible().get(1).copied(),
            part,
            all: view.eligible().into(),
            watch: Arc::clone(&self.watch),
        })
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    forward_hooks!(self.inner, state.inner);
}

impl<P: Picker> Picker for HalfPicker<P> {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let shown = |slot: Slot| Some(slot) != self.kept;
        let picked = cx.within(&self.part, |cx| cx.filtered(&shown, |cx| self.inner.pick(cx)));
        let mut may = |slot: Slot| self.part.eligible().contains(&slot) && shown(slot) && cx.usable(slot);
        let fault = match picked {
            Some(slot) if !may(slot) => Some(format!("picked slot {}, which is filtered out", slot.index())),
            None if self.part.eligible().iter().any(|&slot| may(slot)) => {
                Some("found no endpoint in its part".to_owned())
            }
            _ => None,
        };
        let picked = picked.filter(|&slot| may(slot));
        if let Some(fault) = fault {
            let part: Vec<usize> = self.part.eligible().iter().map(|slot| slot.index()).collect();
            let kept = self.kept.map(Slot::index);
            self.watch.lock().push(format!("shown slots {part:?} but for {kept:?}: {fault}"));
        }
        picked.or_else(|| self.all.iter().copied().find(|&slot| cx.usable(slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Half, Watch};
    use crate::strategy::forward::tests::assert_forwards_every_hook;

    #[test]
    fn the_wrapper_of_the_suite_forwards_every_hook() {
        assert_forwards_every_hook(|inner| Half { inner, watch: Watch::default() });
    }
}
