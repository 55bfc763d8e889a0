use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    sampling::{Choices, Contest, Cost, Gauge, InvalidChoices},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    time::Timestamp,
    view::View,
};

/// The power of two choices by requests in flight: of two endpoints drawn at random, the less loaded one. (Of three
/// endpoints it compares all three, and so it does with all of a small pool of unequal weights.)
///
/// Choose it where requests differ in cost but endpoints do not, or where latency says little. Almost as good as
/// looking at all endpoints, at constant cost, and it stays good when what one balancer sees is stale or partial.
/// Weights count as described for the weighted race: idle shares and in-flight both follow them, and a stuck endpoint
/// is avoided however heavy it is. An endpoint that fails fast looks idle, so one that fails is
/// [capped](super::Needs::caps_failing) at the share that its weight says. To send it less than that, use
/// [`PeakEwma`](super::PeakEwma) or ejection.
///
/// Build O(n), pick O(1) (O([choices](Self::with_choices))). Sources: Mitzenmacher, *The Power of Two Choices in
/// Randomized Load Balancing*, 2001; for the weighting, the race of exponentials (Efraimidis and Spirakis 2006).
///
/// ```
/// use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool};
///
/// let pool = Pool::new(P2c::new());
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let first = pool.pick(&PickRequest::new())?;
/// let second = pool.pick(&PickRequest::new())?;
/// assert_ne!(first.endpoint().id(), second.endpoint().id()); // the first is still in flight
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct P2c {
    choices: Choices,
}

impl P2c {
    /// Two choices.
    pub const fn new() -> Self {
        Self { choices: Choices::TWO }
    }

    /// The least loaded of `choices` endpoints, from 2 to 10. Two get most of what there is to get; more even out what
    /// is left, cost as much each, and let many balancers agree on the same endpoint sooner.
    ///
    /// ```
    /// use equipoise_core::P2c;
    ///
    /// assert!(P2c::with_choices(3).is_ok());
    /// assert!(P2c::with_choices(1).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// When `choices` is not from 2 to 10.
    pub const fn with_choices(choices: usize) -> Result<Self, InvalidChoices> {
        match Choices::new(choices) {
            Ok(choices) => Ok(Self { choices }),
            Err(invalid) => Err(invalid),
        }
    }

    /// How many endpoints are compared.
    pub const fn choices(&self) -> usize {
        self.choices.get()
    }
}

impl Strategy for P2c {
    type State = ();
    type Picker = P2cPicker;

    fn state(&self, _: &EndpointSpec) {}

    fn needs(&self) -> Needs {
        Needs::new().caps_failing()
    }

    fn build(&self, view: &View, _last: Option<&P2cPicker>) -> Result<P2cPicker, BuildError> {
        Ok(P2cPicker(Contest::with_choices(view, self.choices.get())))
    }
}

/// The picker of [`P2c`].
pub struct P2cPicker(Contest);

impl Picker for P2cPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.0.pick(cx, &InFlightOnly)
    }
}

struct InFlightOnly;

impl Gauge for InFlightOnly {
    #[inline]
    fn read(&self, _slot: Slot, _now: Timestamp) -> Cost {
        Cost::UNIT
    }
}
