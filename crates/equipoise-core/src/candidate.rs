use std::fmt;

/// What happened to one endpoint in the pick for a request. Shown in explanations of picks: see
/// [`Candidate::result`](crate::Candidate::result).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum CandidateResult {
    /// The strategy picked the endpoint.
    Picked,
    /// The endpoint was picked because the request [prefers](crate::PickRequest::prefer) it or is
    /// [bound](crate::PickRequest::bound) to it.
    Preferred,
    /// The endpoint was picked in place of the endpoint to which the request's [session](crate::Binding::session) is
    /// bound, because that endpoint cannot serve the request.
    StandIn,
    /// The strategy compared the endpoint with others, and another endpoint had a better (lower) score.
    Outscored,
    /// The endpoint could have been picked, but the strategy did not look at it.
    NotConsidered,
    /// The request [excludes](crate::PickRequest::exclude) the endpoint.
    Excluded,
    /// The endpoint is at its [maximum number of requests in flight](crate::EndpointSpec::max_in_flight).
    Full,
    /// The endpoint is on [probation](crate::Availability::Probation): it may serve only a single request, and this
    /// request has already been sent. It is still in flight, or it has ended and the availability of the endpoint has
    /// not been set again yet.
    OnProbation,
    /// The last requests of the endpoint failed. A failing endpoint may get at most its share of the picks by weight,
    /// and this endpoint has already had its share. See [`Needs::caps_failing`](crate::Needs::caps_failing).
    Failing,
    /// A combinator (a strategy that wraps another one), such as [`ZoneAware`](crate::ZoneAware), does not let the
    /// wrapped strategy pick the endpoint for this request.
    FilteredOut,
    /// The [weight](crate::EndpointSpec::weight) of the endpoint is 0.
    NoWeight,
    /// The endpoint is [draining](crate::Availability::Draining), and the request is neither bound to it nor prefers
    /// it.
    Draining,
    /// The endpoint is [unhealthy](crate::Availability::Unhealthy), and its tier (priority group) is not in a
    /// [panic](crate::PoolBuilder::panic_threshold).
    Unhealthy,
    /// The endpoint is in [maintenance](crate::Availability::Maintenance).
    Maintenance,
}

impl CandidateResult {
    /// Returns the result as a stable label for metrics and logs, such as `not_considered`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Picked => "picked",
            Self::Preferred => "preferred",
            Self::StandIn => "stand_in",
            Self::Outscored => "outscored",
            Self::NotConsidered => "not_considered",
            Self::Excluded => "excluded",
            Self::Full => "full",
            Self::OnProbation => "on_probation",
            Self::Failing => "failing",
            Self::FilteredOut => "filtered_out",
            Self::NoWeight => "no_weight",
            Self::Draining => "draining",
            Self::Unhealthy => "unhealthy",
            Self::Maintenance => "maintenance",
        }
    }
}

impl fmt::Display for CandidateResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Picked => "picked",
            Self::Preferred => "preferred",
            Self::StandIn => "stands in",
            Self::Outscored => "outscored",
            Self::NotConsidered => "not considered",
            Self::Excluded => "excluded",
            Self::Full => "full",
            Self::OnProbation => "on probation",
            Self::Failing => "failing",
            Self::FilteredOut => "filtered out",
            Self::NoWeight => "weight 0",
            Self::Draining => "draining",
            Self::Unhealthy => "unhealthy",
            Self::Maintenance => "maintenance",
        })
    }
}
