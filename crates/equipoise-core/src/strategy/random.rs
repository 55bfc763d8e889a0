use super::{
    BuildError, PickCx, Picker, Strategy,
    sampling::{Lottery, REDRAWS},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    entropy::below,
    view::View,
};

/// Picks endpoints at random, in proportion to their weights.
///
/// Choose it if all requests cost about the same, and many balancers use the same endpoints independently of each
/// other. Weaknesses: the shares are exact only in the long run, and the load of the endpoints is ignored. Building a
/// picker takes O(n) time for n endpoints. A pick takes O(1) time, because it uses an alias table. If the request
/// excludes most endpoints, a pick takes O(n) time.
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, Random};
///
/// let pool = Pool::new(Random::new());
/// pool.update([EndpointSpec::new("a:80"), EndpointSpec::new("b:80").weight(3)], |_| ())?;
/// let lease = pool.pick(&PickRequest::new())?;
/// # drop(lease);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Random {
    /// Creates the strategy. It has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Strategy for Random {
    type State = ();
    type Picker = RandomPicker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _last: Option<&RandomPicker>) -> Result<RandomPicker, BuildError> {
        let weights: Vec<u32> = view.eligible().iter().map(|&slot| view.weight(slot)).collect();
        Ok(RandomPicker { slots: view.eligible().into(), lottery: Lottery::new(&weights) })
    }
}

/// The picker of [`Random`], which picks the endpoint of each request.
pub struct RandomPicker {
    slots: Box<[Slot]>,
    lottery: Lottery,
}

impl RandomPicker {
    #[inline]
    fn draw(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.slots.get(self.lottery.draw(cx.random())).copied()
    }

    /// Picks by weight among the usable endpoints, for requests that exclude most endpoints (reservoir sampling).
    #[cold]
    fn scan(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let (mut chosen, mut total) = (None, 0usize);
        for &slot in &self.slots {
            if cx.usable(slot) {
                let weight = cx.view().weight(slot) as usize;
                total += weight;
                // Kept with probability weight / total. Totals above 32 bits only make the shares slightly less exact.
                if below(total, cx.random() as u32) < weight {
                    chosen = Some(slot);
                }
            }
        }
        chosen
    }
}

impl Picker for RandomPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let slot = self.draw(cx)?;
        if !cx.is_checked() || cx.usable(slot) {
            return Some(slot);
        }
        for _ in 1..REDRAWS {
            let slot = self.draw(cx)?;
            if cx.usable(slot) {
                return Some(slot);
            }
        }
        self.scan(cx)
    }
}
