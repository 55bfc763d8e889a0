use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    sampling::{Choices, Contest, Cost, Gauge, InvalidChoices},
};
use crate::{
    endpoint::{EndpointSpec, Slot},
    time::Timestamp,
    view::View,
};

/// Power of two choices by requests in flight: compares two random endpoints and picks the one with fewer requests in
/// flight, relative to the weights.
///
/// Choose it if requests differ in cost but endpoints are alike, or if latency says little about load. It is almost as
/// good as a comparison of all endpoints, but a pick takes constant time. It also works well if the balancer sees only
/// a part of the load. In two cases, it compares all endpoints: in pools of three endpoints, and in pools of up to
/// eight endpoints with unequal weights.
///
/// While the endpoints are idle, each gets requests in proportion to its weight. Under load, the number of requests in
/// flight at each endpoint is in proportion to its weight. An endpoint that hangs gets few requests, whatever its
/// weight. An endpoint that fails fast looks idle, so a failing endpoint gets at most [its share of the picks by
/// weight](super::Needs::caps_failing). To send it fewer requests, use [`PeakEwma`](super::PeakEwma) or outlier
/// detection.
///
/// Building a picker takes O(n) time for n endpoints. A pick takes time proportional to the number of
/// [choices](Self::with_choices). Sources: Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001;
/// for the weights, Efraimidis and Spirakis, *Weighted Random Sampling with a Reservoir*, 2006.
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
    /// Creates a strategy that compares two endpoints per pick. To compare more, use
    /// [`with_choices`](Self::with_choices).
    pub const fn new() -> Self {
        Self { choices: Choices::TWO }
    }

    /// Creates a strategy that compares `choices` endpoints per pick. Range: 2 to 10.
    ///
    /// Two choices give most of the benefit. With more choices, the load is a little more even, but a pick takes
    /// proportionally longer, and several balancers are more likely to pick the same endpoint at the same time.
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
    /// [`InvalidChoices`] if `choices` is not in the range from 2 to 10.
    pub const fn with_choices(choices: usize) -> Result<Self, InvalidChoices> {
        match Choices::new(choices) {
            Ok(choices) => Ok(Self { choices }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Returns the number of endpoints that a pick compares, from 2 to 10.
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

/// The picker of [`P2c`], which picks the endpoint of each request.
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
