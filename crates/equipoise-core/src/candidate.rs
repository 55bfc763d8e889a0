use std::fmt;

/// Whether a pick chose one endpoint, or why it did not. Explanations of picks have this result for each endpoint: see
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
    /// The endpoint was picked as a replacement. The request's [session](crate::Binding::session) is bound to another
    /// endpoint, and that endpoint cannot serve the request.
    StandIn,
    /// The strategy compared the endpoint with others, and another endpoint had a better (lower) score.
    Outscored,
    /// The endpoint could have been picked, but the strategy did not compare it with others.
    NotConsidered,
    /// The request [excludes](crate::PickRequest::exclude) the endpoint.
    Excluded,
    /// The endpoint is at its [maximum number of requests in flight](crate::EndpointSpec::max_in_flight).
    Full,
    /// The endpoint is on [probation](crate::Availability::Probation): it gets only a single request, and that request
    /// has already been sent. Either that request is still in flight, or it has ended and the availability of the
    /// endpoint has not been set again yet.
    OnProbation,
    /// The endpoint is failing: its last requests failed. A failing endpoint gets at most its share of the picks, in
    /// proportion to its weight. This endpoint has already had its share, so it was not picked. See
    /// [`Needs::caps_failing`](crate::Needs::caps_failing).
    Failing,
    /// A combinator (an outer strategy that wraps an inner strategy), such as [`ZoneAware`](crate::ZoneAware), does not
    /// let the inner strategy pick the endpoint for this request.
    FilteredOut,
    /// The [weight](crate::EndpointSpec::weight) of the endpoint is 0.
    NoWeight,
    /// The endpoint is [draining](crate::Availability::Draining): it serves only requests that are bound to it or
    /// prefer it. This request is not one of them.
    Draining,
    /// The endpoint is [unhealthy](crate::Availability::Unhealthy). An unhealthy endpoint is picked only while its tier
    /// (priority group) is in a [panic](crate::PoolBuilder::panic_threshold), and this tier is not in a panic.
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
