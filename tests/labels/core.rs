use equipoise::{
    Availability, BindingOutcome, BuildError, CandidateResult, Failure, MissReason, PickError, RequestCounts,
    UpdateError,
};

use super::check;

#[test]
fn labels_of_picks_and_requests_are_unique_and_snake_case() {
    use Failure::{Connect, Gateway, Server, Timeout, Transport};
    check([Connect, Transport, Timeout, Gateway, Server].map(Failure::as_str));
    // Those of all verdicts.
    check(RequestCounts::default().by_outcome().map(|(label, _)| label));
    let availabilities = [
        Availability::Up,
        Availability::Unhealthy,
        Availability::Probation,
        Availability::Draining,
        Availability::Maintenance,
    ];
    check(availabilities.map(Availability::as_str));
    check(MissReason::ALL.map(MissReason::as_str));
    let outcomes = [BindingOutcome::Unbound, BindingOutcome::Kept, BindingOutcome::Missed(MissReason::Full)];
    check(outcomes.map(BindingOutcome::as_str));
    let results = [
        CandidateResult::Picked,
        CandidateResult::Preferred,
        CandidateResult::StandIn,
        CandidateResult::Outscored,
        CandidateResult::NotConsidered,
        CandidateResult::Excluded,
        CandidateResult::Full,
        CandidateResult::OnProbation,
        CandidateResult::Failing,
        CandidateResult::FilteredOut,
        CandidateResult::NoWeight,
        CandidateResult::Draining,
        CandidateResult::Unhealthy,
        CandidateResult::Maintenance,
    ];
    check(results.map(CandidateResult::as_str));
    let errors = [
        PickError::Empty,
        PickError::Unavailable { members: 1 },
        PickError::Saturated,
        PickError::Excluded,
        PickError::Bound { missed: MissReason::Full },
        PickError::Unbound,
        PickError::Declined,
        PickError::Panicked,
    ];
    check(errors.iter().map(PickError::as_str));
    let errors = [
        UpdateError::Unknown { id: "a".into() },
        UpdateError::Exists { id: "a".into() },
        UpdateError::NoTarget { id: "a".into() },
        UpdateError::TooMany { count: 1 },
    ];
    check(errors.iter().map(UpdateError::as_str));
    check([BuildError::Refused(String::new()), BuildError::Panicked].iter().map(BuildError::as_str));
}
