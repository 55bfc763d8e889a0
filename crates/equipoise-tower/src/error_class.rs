use std::error::Error;

use equipoise_core::Verdict;

use crate::{error::AttemptTimedOut, failure_stage::FailureStage};

/// What the error of an attempt means: how far the request got, what counts against the endpoint, and whether the request
/// may be sent to another one.
///
/// [`of`](Self::of) is the default. A [`Classify`](crate::Classify) can decide otherwise.
///
/// ```
/// use equipoise_tower::{ErrorClass, HttpProtocol, Retryable};
///
/// // Idempotent requests that timed out go to another endpoint.
/// let http = HttpProtocol::new().classify_error(|error| match ErrorClass::of(error) {
///     class if class.stage == equipoise_tower::FailureStage::TimedOut => class.retry(Retryable::IfIdempotent),
///     class => class,
/// });
/// # drop(http);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorClass {
    /// How far the request got. Decides the [status](crate::Error::status) of a request that fails in the end.
    pub stage: FailureStage,
    /// What is recorded for the endpoint.
    pub verdict: Verdict,
    /// Whether the request may be sent to another endpoint.
    pub retry: Retryable,
}

/// Whether a request may be sent to another endpoint after an error. In every case, only if its body was not touched or
/// can be repeated, and within [`max_attempts`](crate::Balance::max_attempts).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retryable {
    /// No.
    Never,
    /// Only if sending it twice is as good as sending it once: see [`Protocol::is_idempotent`](crate::Protocol::is_idempotent).
    IfIdempotent,
    /// Yes. Right if the endpoint has not processed the request.
    Always,
}

impl Retryable {
    /// The permission as a stable label for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfIdempotent => "if_idempotent",
            Self::Always => "always",
        }
    }
}

impl ErrorClass {
    /// The class of an error by its [stage](FailureStage::of): see [`new`](Self::new). An [`AttemptTimedOut`] is retried if
    /// the request is idempotent.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let class = Self::new(FailureStage::of(error));
        if error.is::<AttemptTimedOut>() { class.retry(Retryable::IfIdempotent) } else { class }
    }

    /// The class of an error of this stage:
    ///
    /// | stage | verdict | retry |
    /// | --- | --- | --- |
    /// | [`NotSent`](FailureStage::NotSent) | failure to connect | always |
    /// | [`Overloaded`](FailureStage::Overloaded) | overloaded | always |
    /// | [`NoResponse`](FailureStage::NoResponse) | transport failure | if idempotent |
    /// | [`TimedOut`](FailureStage::TimedOut) | timeout | never |
    /// | [`Caller`](FailureStage::Caller) | neutral | never |
    /// | [`Other`](FailureStage::Other) | transport failure | never |
    pub fn new(stage: FailureStage) -> Self {
        let retry = match stage {
            FailureStage::NotSent | FailureStage::Overloaded => Retryable::Always,
            FailureStage::NoResponse => Retryable::IfIdempotent,
            FailureStage::TimedOut | FailureStage::Caller | FailureStage::Other => Retryable::Never,
        };
        Self { stage, verdict: stage.verdict(), retry }
    }

    /// The same class with another verdict.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }

    /// The same class with another answer to whether the request may be sent to another endpoint.
    #[must_use]
    pub fn retry(mut self, retry: Retryable) -> Self {
        self.retry = retry;
        self
    }
}
