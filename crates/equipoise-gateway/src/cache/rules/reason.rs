use std::sync::atomic::{AtomicU64, Ordering};

/// Why a response was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStored {
    /// The request has `no-store`.
    RequestNoStore,
    /// The response has `no-store`.
    NoStore,
    /// The response has `private`.
    Private,
    /// The request was authenticated, and the response does not allow a shared cache to store it.
    Authorization,
    /// The response sets a cookie.
    SetCookie,
    /// No other request would select the response.
    VaryStar,
    /// The status or the method is not one that is stored.
    Status,
    /// The response is neither fresh nor can it be validated.
    NoFreshness,
    /// The type of the response contradicts the extension of the path.
    Deception,
    /// The proxy around the cache refuses the response: its framing is not valid.
    Invalid,
}

impl NotStored {
    pub(crate) const ALL: [Self; 10] = [
        Self::RequestNoStore,
        Self::NoStore,
        Self::Private,
        Self::Authorization,
        Self::SetCookie,
        Self::VaryStar,
        Self::Status,
        Self::NoFreshness,
        Self::Deception,
        Self::Invalid,
    ];

    /// Whether it depends on the request of one client: others may get a response to the same URL that is stored.
    pub(crate) fn is_of_request(self) -> bool {
        matches!(self, Self::RequestNoStore | Self::Authorization)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::RequestNoStore => "request_no_store",
            Self::NoStore => "no_store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set_cookie",
            Self::VaryStar => "vary",
            Self::Status => "status",
            Self::NoFreshness => "no_freshness",
            Self::Deception => "deception",
            Self::Invalid => "invalid",
        }
    }
}

/// One counter per reason.
#[derive(Debug, Default)]
pub(crate) struct NotStoredCounters([AtomicU64; NotStored::ALL.len()]);

impl NotStoredCounters {
    pub(crate) fn count(&self, reason: NotStored) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Vec<(&'static str, u64)> {
        NotStored::ALL.iter().zip(&self.0).map(|(reason, n)| (reason.as_str(), n.load(Ordering::Relaxed))).collect()
    }
}
