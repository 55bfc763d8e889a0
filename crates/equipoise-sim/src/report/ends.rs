use std::time::Duration;

use equipoise_core::{Failure, Verdict};

/// How an attempt or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It got a successful response.
    Answered,
    /// It got an error response.
    Failed,
    /// The server refused the connection.
    Refused,
    /// The server died while it had the request.
    Broken,
    /// No response came within the timeout of the attempt.
    TimedOut,
    /// The server responded with HTTP status 503, because it had too many requests.
    Shed { retry_after: Option<Duration> },
    /// The caller stopped waiting for the response.
    GivenUp,
    /// No endpoint could be picked for it. Also the end of an attempt that is cancelled because another one was
    /// answered.
    Unserved,
}

impl End {
    /// Returns the verdict on the server with which the lease of the attempt ends. `None` if the lease is dropped
    /// without a verdict.
    pub(crate) fn verdict(self) -> Option<Verdict> {
        Some(match self {
            Self::Answered => Verdict::Success,
            Self::Failed => Verdict::Failure(Failure::Server),
            Self::Refused => Verdict::Failure(Failure::Connect),
            Self::Broken => Verdict::Failure(Failure::Transport),
            Self::TimedOut => Verdict::Failure(Failure::Timeout),
            Self::Shed { retry_after: None } => Verdict::Failure(Failure::Gateway),
            Self::Shed { retry_after } => Verdict::Unavailable { retry_after },
            Self::GivenUp => return None,
            Self::Unserved => Verdict::Neutral,
        })
    }
}

/// The number of measured requests for each result, such as answered or timed out. Each request is counted once, with
/// its final result, even if it had several attempts (retries or hedges). Failed attempts before a successful retry are
/// not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Ends {
    /// Number of requests that ended with a successful response. A request whose [body](crate::Bodies) broke off counts
    /// as [`broken`](Self::broken) instead.
    pub answered: u64,
    /// Number of requests that ended with an error response of the server. Requests that the server rejected with HTTP
    /// status 503 because it had too many requests are not included: see [`shed`](Self::shed).
    pub failed: u64,
    /// Number of requests that ended because the server refused the connection.
    pub refused: u64,
    /// Number of requests that broke off for one of these reasons:
    ///
    /// - The server died before the first byte of the response.
    /// - The server died or became unreachable while the response's [body](crate::Bodies) was transferred.
    pub broken: u64,
    /// Number of requests that ended by the [timeout](crate::Scenario::timeout) of an attempt.
    pub timed_out: u64,
    /// Number of requests that ended with HTTP status 503, because the server had too many requests
    /// ([`Server::sheds_beyond`](crate::Server::sheds_beyond)).
    #[cfg_attr(feature = "serde", serde(default))]
    pub shed: u64,
    /// Number of requests whose caller stopped waiting for the response ([`Impatience`](crate::Impatience)).
    #[cfg_attr(feature = "serde", serde(default))]
    pub given_up: u64,
    /// Number of requests that ended because no endpoint could be picked for them. Without a [queue
    /// timeout](crate::Scenario::queue_timeout), such a request ends at once. With a queue timeout, it waits in the
    /// queue and ends when the timeout is over.
    pub unserved: u64,
}

impl Ends {
    pub(crate) fn count(&mut self, end: End) {
        *match end {
            End::Answered => &mut self.answered,
            End::Failed => &mut self.failed,
            End::Refused => &mut self.refused,
            End::Broken => &mut self.broken,
            End::TimedOut => &mut self.timed_out,
            End::Shed { .. } => &mut self.shed,
            End::GivenUp => &mut self.given_up,
            End::Unserved => &mut self.unserved,
        } += 1;
    }

    /// Counts a request that was counted as answered as broken instead, because its body broke off.
    pub(crate) fn break_body(&mut self) {
        self.answered -= 1;
        self.broken += 1;
    }

    /// Returns the number of all measured requests, successful or not.
    pub fn total(&self) -> u64 {
        self.answered + self.errors()
    }

    /// Returns the number of measured requests that ended without a successful response.
    pub fn errors(&self) -> u64 {
        self.failed + self.refused + self.broken + self.timed_out + self.shed + self.given_up + self.unserved
    }
}
