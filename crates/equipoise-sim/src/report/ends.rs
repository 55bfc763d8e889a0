use std::time::Duration;

use equipoise_core::{Failure, Verdict};

/// How an attempt or a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With a successful response.
    Answered,
    /// With an error response.
    Failed,
    /// The server refused the connection.
    Refused,
    /// The server died during the request.
    Broken,
    TimedOut,
    /// With 503, because the server had too many requests.
    Shed {
        retry_after: Option<Duration>,
    },
    /// The caller did not wait for the response.
    GivenUp,
    /// No endpoint could be picked.
    Unserved,
}

impl End {
    /// Returns the verdict on the server; `None` if the lease is dropped without one.
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

/// How many requests ended in each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Ends {
    /// Number of requests with a successful response.
    pub answered: u64,
    /// Number of requests with an error response.
    pub failed: u64,
    /// Number of requests whose connection was refused.
    pub refused: u64,
    /// Number of requests that were cut off because their server died, before their first byte or in their body.
    pub broken: u64,
    /// Number of requests that timed out at the client.
    pub timed_out: u64,
    /// Number of requests answered with 503 by servers that [shed](crate::Server::sheds_beyond).
    #[cfg_attr(feature = "serde", serde(default))]
    pub shed: u64,
    /// Number of requests that their [callers gave up](crate::Impatience).
    #[cfg_attr(feature = "serde", serde(default))]
    pub given_up: u64,
    /// Number of requests for which no endpoint could be picked, at once or within the
    /// [queue timeout](crate::Scenario::queue_timeout).
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

    /// Counts an answered request as broken, because its body broke off.
    pub(crate) fn break_body(&mut self) {
        self.answered -= 1;
        self.broken += 1;
    }

    /// Returns the number of all requests.
    pub fn total(&self) -> u64 {
        self.answered + self.errors()
    }

    /// Returns the number of requests without a successful response.
    pub fn errors(&self) -> u64 {
        self.failed + self.refused + self.broken + self.timed_out + self.shed + self.given_up + self.unserved
    }
}
