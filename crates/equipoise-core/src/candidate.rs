use std::fmt;

/// What happened to one endpoint in a pick: see [`Candidate::result`](crate::Candidate::result).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum CandidateResult {
    /// The strategy picked it.
    Picked,
    /// It was picked because the request [prefers](crate::PickRequest::prefer) it or is
    /// [bound](crate::PickRequest::bound) to it.
    Preferred,
    /// It was picked in place of the endpoint that the request's [session](crate::Binding::session) is bound to.
    StandIn,
    /// The strategy compared it with others, and another endpoint had a lower score.
    Outscored,
    /// It could have been picked, but the strategy did not look at it.
    NotConsidered,
    /// The request [excludes](crate::PickRequest::exclude) it.
    Excluded,
    /// It is at its [limit](crate::EndpointSpec::max_in_flight).
    Full,
    /// It is on [probation](crate::Availability::Probation), and the one request that decides it is out or has ended.
    OnProbation,
    /// Its last requests failed, and it has had its share of picks: see
    /// [`Needs::caps_failing`](crate::Needs::caps_failing).
    Failing,
    /// A combinator, such as [`ZoneAware`](crate::ZoneAware), hides it from the wrapped strategy for this request.
    FilteredOut,
    /// Its weight is 0.
    NoWeight,
    /// It is [draining](crate::Availability::Draining), and the request is not bound to it.
    Draining,
    /// It is [unhealthy](crate::Availability::Unhealthy), and its tier is not in a
    /// [panic](crate::PoolBuilder::panic_threshold).
    Unhealthy,
    /// It is in [maintenance](crate::Availability::Maintenance).
    Maintenance,
}

impl CandidateResult {
    /// The result as a stable label for metrics and logs.
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
