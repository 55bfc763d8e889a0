mod estimate;
mod field;
mod picker;
mod state;

use std::time::Duration;

pub use self::state::LogEwmaState;
use self::{
    estimate::{Memory, TrialIntervals, millis},
    picker::LogEwmaPicker,
};
use super::{
    BuildError, InvalidChoices, Needs, Strategy,
    sampling::Choices,
    span::{InvalidSpan, span},
};
use crate::{endpoint::EndpointSpec, time::Timestamp, verdict::Verdict, view::View};

/// Log-EWMA, the default strategy: compares a few endpoints and picks the one that is expected to answer soonest.
///
/// The score of an endpoint is the latency that a request is expected to have there, plus a penalty for failures. The
/// lowest score wins. The expected latency is the estimated latency × (the number of requests that wait for their first
/// byte + 1) / (the usual number of them + 1). The estimate is an exponentially weighted moving average (EWMA) of the
/// logarithm of latencies. This is a geometric mean, which a single slow response changes little. A pick compares [10
/// endpoints](Self::choices) by default.
///
/// This strategy needs no settings. Choose it unless another strategy fits better: see the limits below.
///
/// - **Load**: only requests that wait for their first byte count. A response that has begun (a long body, a stream or
///   a tunnel) does not count. If two endpoints have the same score, the one with fewer such responses wins.
/// - **Usual load**: the usual number of waiting requests is the estimate divided by the mean interval between
///   responses (Little's law). Without the division by it, a queue would count twice: in the latency and in the
///   requests that wait.
/// - **Average**: each response weighs at least 3 %. It weighs more if the last response is long ago. Endpoints with an
///   estimate of at most 1.5 times the lowest one in the comparison are compared by their waiting requests alone. A
///   slow endpoint costs at most ten times as much as a fast one with as many waiting requests.
/// - **Silence**: if requests wait and no response has come for longer than 24 mean intervals between responses, each
///   waiting request costs at least the time without a response, up to 100 times the lowest estimate. An endpoint that
///   stalls therefore loses requests before its first slow response. It still gets trials, because a single long
///   request looks the same. A failure is no response in this sense, and neither is a request that is given up.
/// - **Abandoned requests**: a request that ends without a first byte never lowers the estimate. If no response came
///   while it waited, the estimate is raised to the time that it waited. If responses came meanwhile, the time that it
///   waited counts as the latency of one more response.
/// - **Failures** ([`Verdict::is_failure`]) add to the penalty. The first failure adds an eighth of the
///   [maximum penalty](Self::penalty). Each further failure more than doubles the penalty, up to the maximum. A success
///   removes three quarters of it. The latency of a failure is not sampled, so a fast failure does not look like a fast
///   response. The maximum penalty costs from 10 to 100 times the lowest estimate.
/// - **Failures everywhere**: a penalty counts in full if failures are not usual, and less the more are. It does not
///   count if the endpoint fails at most four times as often as usual, among about the last hundred responses. How
///   often an endpoint fails is the number of failures per success. Usual is the median of those endpoints of the
///   comparison that fail at most 20 % of their requests, or of all if all fail more.
/// - **`Retry-After`**: if no successful response of the endpoint has begun in the last second, it gets the maximum
///   penalty for as long as it asked (at most 300 s). Otherwise it only rejects what it cannot serve, and the response
///   counts as an ordinary failure.
/// - **Trials**: a slow endpoint at which no request waits, or a silent one, is sometimes picked, to measure it again.
///   The time between two trials is at least [`min_trial_interval`](Self::min_trial_interval). It doubles with each
///   slow response and each abandoned trial, up to [`max_trial_interval`](Self::max_trial_interval). If one endpoint is slow,
///   its trials add a few percent to the mean latency. If nearly all are, trials add up to 20 %. A fast response to a
///   trial moves the estimate by 30 % of the distance on a logarithmic scale.
/// - **Fading**: the estimate and the penalty of an endpoint without traffic [fade](Self::fade).
/// - **Rare requests**: [`decay`](Self::decay) and [`fade`](Self::fade) are at least as long as ten mean intervals
///   between responses.
/// - **A new endpoint** has no estimate yet. In a comparison, it counts with the lowest estimate.
/// - **Weights** have the same effect as with [`P2c`](super::P2c): without load, an endpoint's share of the requests is
///   proportional to its weight. Latency changes the shares.
/// - **High rates**: a response within 10 µs after the last sampled one is not sampled. A latency below 10 µs counts as 10
///   µs.
///
/// The scores in an [explanation](crate::Pool::explain) are in milliseconds if all weights are equal. Otherwise they are
/// divided by the weight, with a random part. With unequal weights, responses that have begun do not decide between
/// equal scores.
///
/// Limits:
///
/// - **Streams**: if streams use up an endpoint (its workers, bandwidth or memory), only the latency of new requests
///   shows it. Use [`LeastConnections`](super::LeastConnections) if open streams are the load, or limit the requests in
///   flight.
/// - **Work with two very different durations**: the latencies of past requests do not predict those that wait.
///   [`LeastConnections`](super::LeastConnections) is as good or some percent better.
/// - **Stalls with many clients**: a client that sends few requests loses one of them in each stall, and cannot tell it
///   from a long request. With 20 clients and an endpoint that stalls for 1 s of every 5 s, p99.9 is nearly 1 s.
/// - **Distance**: a distant endpoint looks slow. It gets few requests until requests wait at the near endpoints.
/// - **Overload**: an endpoint that can serve much less than the others, and rejects the rest, still gets some requests
///   that it rejects. Set [`max_in_flight`](EndpointSpec::max_in_flight) if its limit is known.
/// - **Failures**: an endpoint that fails more often than others gets fewer requests, but still gets some: about 0.1 %
///   if requests take a few milliseconds, and 2 % if they take two seconds, as fading does not depend on the latency.
///   Only health checks and outlier detection stop the traffic to it.
/// - **Requests that never end**: if an endpoint holds a request without responding to it (long polling), it gets fewer
///   requests than others as long as the pool is nearly idle.
/// - **Recovery**: if an endpoint was slow for a long time, its recovery is noticed after up to half of that time, or up
///   to [`max_trial_interval`](Self::max_trial_interval), if the pool has much traffic. It has its share again after a
///   few more trials, which come sooner after each fast response. With few requests per second, trials are rare and the
///   endpoint returns when its estimate has faded: after half a minute if it was 10 times as slow, and after a minute if
///   it was 100 times as slow.
/// - **Very rare requests**: if an endpoint gets less than one request per minute, the choice is nearly random.
/// - **Small differences**: if the latencies of two endpoints differ by a factor below 1.5, the faster one is not
///   preferred.
/// - **Large pools**: a pick compares 10 endpoints, not all. In a pool of 20 equal endpoints at 90 % load, p99 is some
///   percent higher than with [`LeastConnections`](super::LeastConnections).
///
/// Building a picker takes O(n) time for n endpoints. A pick takes O([choices](Self::choices)) time. Each request reads
/// the clock twice. Source: the product of a moving average of latency and load is that of Finagle and linkerd
/// ([`PeakEwma`](super::PeakEwma)). The other rules were found by simulation.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::{EndpointSpec, LogEwma, PickRequest, Pool, Verdict};
///
/// let pool = Pool::new(LogEwma::new().decay(Duration::from_secs(5))?);
/// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
/// let lease = pool.pick(&PickRequest::new())?;
/// lease.finish(Verdict::Success);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogEwma {
    choices: Choices,
    decay: Duration,
    fade: Duration,
    penalty: Duration,
    min_trial_interval: Duration,
    max_trial_interval: Duration,
}

impl LogEwma {
    /// Creates the strategy with its defaults: 10 choices, decay 10 s, fade 2.5 s, penalty 500 ms, minimum trial
    /// interval 100 ms and maximum trial interval 10 s.
    pub const fn new() -> Self {
        Self {
            choices: Choices::MAX,
            decay: Duration::from_secs(10),
            fade: Duration::from_millis(2500),
            penalty: Duration::from_millis(500),
            min_trial_interval: Duration::from_millis(100),
            max_trial_interval: Duration::from_secs(10),
        }
    }

    /// Sets how many endpoints a pick compares. Range: 2 to 10. Default: 10.
    ///
    /// If the pool has at most `choices` endpoints, all of them are compared. A larger pool with equal weights is
    /// divided into `choices` parts, and one endpoint of each part is compared. With unequal weights, endpoints are
    /// drawn one by one, the same endpoint may be drawn twice, and endpoints with a large weight are always compared as
    /// well, as with [`P2c`](super::P2c).
    ///
    /// With fewer choices, a pick takes less time, and slow or failing endpoints get more requests, because some picks
    /// compare no other endpoint.
    ///
    /// # Errors
    ///
    /// [`InvalidChoices`] if `choices` is not in the range from 2 to 10.
    pub const fn choices(self, choices: usize) -> Result<Self, InvalidChoices> {
        match Choices::new(choices) {
            Ok(choices) => Ok(Self { choices, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the time after which the weight of a latency in the average has dropped to 1/e (37 %) of its first weight.
    /// Minimum: 1 µs. Default: 10 s.
    ///
    /// The number of responses limits this time. At a high request rate, the weight has dropped to 1/e after about 33
    /// responses, even if the time is not over. At a low rate, it drops to 1/e only after ten responses, even if the
    /// time is over.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan`] if `decay` is below 1 µs.
    pub const fn decay(self, decay: Duration) -> Result<Self, InvalidSpan> {
        match span("decay", decay) {
            Ok(decay) => Ok(Self { decay, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the time after which the estimate and the penalty of an endpoint weigh 1/e (37 %) if no responses come and
    /// no request waits at it. Minimum: 1 µs. Default: 2.5 s. With [`Duration::MAX`] they never fade.
    ///
    /// A longer time is used in these cases:
    ///
    /// - Ten mean intervals between the responses of an endpoint are longer than `fade`. In a comparison, the interval is
    ///   the median of the compared endpoints.
    /// - The time between two trials of a slow endpoint (at most [`max_trial_interval`](Self::max_trial_interval)) is
    ///   longer than `fade`. This time is then used for its estimate.
    ///
    /// # Errors
    ///
    /// [`InvalidSpan`] if `fade` is below 1 µs.
    pub const fn fade(self, fade: Duration) -> Result<Self, InvalidSpan> {
        match span("fade", fade) {
            Ok(fade) => Ok(Self { fade, ..self }),
            Err(invalid) => Err(invalid),
        }
    }

    /// Sets the maximum penalty: the latency that repeated failures add to the cost of an endpoint. In a comparison, it
    /// counts as at least 10 times and at most 100 times the lowest estimate. All durations are valid. Default: 500 ms.
    /// With zero, failures cost nothing.
    #[must_use]
    pub const fn penalty(mut self, penalty: Duration) -> Self {
        self.penalty = penalty;
        self
    }

    /// Sets the minimum time between two trials of a slow endpoint. A trial is a request that measures the endpoint
    /// again. All durations are valid. Default: 100 ms. With zero, trials are limited only by their cost.
    #[must_use]
    pub const fn min_trial_interval(mut self, interval: Duration) -> Self {
        self.min_trial_interval = interval;
        self
    }

    /// Sets the maximum time between two trials of a slow endpoint. A trial is a request that measures the endpoint
    /// again. The time between trials doubles while the endpoint stays slow, up to this maximum. All durations are
    /// valid. Default: 10 s. A value below the [minimum](Self::min_trial_interval) counts as the minimum.
    #[must_use]
    pub const fn max_trial_interval(mut self, interval: Duration) -> Self {
        self.max_trial_interval = interval;
        self
    }

    fn memory(&self) -> Memory {
        let trials = TrialIntervals::new(self.min_trial_interval, self.max_trial_interval);
        Memory::new(self.decay, self.fade, trials, millis(self.penalty))
    }
}

impl Default for LogEwma {
    fn default() -> Self {
        Self::new()
    }
}

impl Strategy for LogEwma {
    type State = LogEwmaState;
    type Picker = LogEwmaPicker;

    fn state(&self, _: &EndpointSpec) -> LogEwmaState {
        LogEwmaState::default()
    }

    fn needs(&self) -> Needs {
        Needs::new().latency().waiting().outcomes()
    }

    fn build(&self, view: &View, last: Option<&LogEwmaPicker>) -> Result<LogEwmaPicker, BuildError> {
        Ok(LogEwmaPicker::new(self.choices, self.memory(), view, last))
    }

    fn on_latency(&self, state: &LogEwmaState, latency: Duration, now: Timestamp) {
        state.sample(latency, now, self.memory());
    }

    fn on_abandon(&self, state: &LogEwmaState, waited: Duration, now: Timestamp) -> bool {
        state.abandon(waited, now, self.memory());
        false
    }

    fn on_outcome(&self, state: &LogEwmaState, verdict: Verdict, now: Timestamp) {
        state.count(verdict, now, self.memory());
    }
}
