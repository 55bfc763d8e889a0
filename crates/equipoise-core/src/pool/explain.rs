use std::fmt;

use super::{
    error::PickError,
    state::{Pool, PoolSettings, Snapshot},
    status::EndpointStatus,
};
use crate::{
    binding::BindingOutcome,
    candidate::CandidateResult,
    endpoint::Availability,
    ids::{EndpointId, Revision, Slot},
    lease::Selection,
    request::PickRequest,
    strategy::Notes,
};

impl<T: Send + Sync + 'static> Pool<T> {
    /// Explains the pick for a request: which endpoint the pick would choose now, which score each candidate has, and
    /// why the other endpoints would not be picked.
    ///
    /// This method runs the code of a pick, but takes no lease. It does not advance counters such as the position of
    /// round robin. It does not call [`Strategy::admit`](crate::Strategy::admit). If the strategy picks at random, the
    /// next pick may choose another endpoint. Takes O(n) time for n endpoints. Allocates.
    ///
    /// ```
    /// use equipoise_core::{EndpointId, EndpointSpec, PickRequest, Pool, RoundRobin};
    ///
    /// let pool = Pool::new(RoundRobin::new());
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let tried = [EndpointId::from("a:80")];
    /// let explanation = pool.explain(&PickRequest::new().exclude(&tried));
    /// assert_eq!(explanation.picked.as_ref().map(EndpointId::as_str), Ok("b:80"));
    /// println!("{explanation}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn explain(&self, request: &PickRequest<'_>) -> Explanation {
        let settings = &self.inner.settings;
        let now = self.inner.pick_time();
        let snapshot = self.inner.snapshot.load();
        let mut notes = Notes::default();
        let selection = snapshot.select(request, settings, now, Some(&mut notes));
        Explanation::new(&snapshot, request, selection, notes)
    }
}

/// The explanation of a pick: which endpoint a request would get, and why it would not get another endpoint. Returned
/// by [`Pool::explain`]. Its `Display` form is a table of all endpoints.
///
/// With the feature `serde`, an explanation can be serialized. The field `picked` then has the form `{"endpoint": id}`
/// or `{"error": text}`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The revision of the pool at the time of the explanation: the number of changes so far.
    pub revision: Revision,
    /// The id of the endpoint that would be picked, or the error with which the pick would fail.
    #[cfg_attr(feature = "serde", serde(serialize_with = "picked"))]
    pub picked: Result<EndpointId, PickError>,
    /// Whether the picked endpoint is the one to which the request is [bound](PickRequest::bound) or which the request
    /// [prefers](PickRequest::prefer). If another endpoint is picked, the value says why.
    pub binding_outcome: BindingOutcome,
    /// One entry for each endpoint of the pool, in the order of their [slots](crate::Slot).
    pub candidates: Vec<Candidate>,
}

/// What an [`Explanation`] of a pick says about one endpoint: its state, its score and its result. Every endpoint of
/// the pool has such an entry, even if the endpoint could not be picked.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Candidate {
    /// The state of the endpoint, such as its id, its weight and its number of requests in flight.
    pub status: EndpointStatus,
    /// The score that the strategy gave to the endpoint. A lower score is better. The unit of the score depends on the
    /// strategy. `None` if the strategy did not compare this endpoint with others.
    pub score: Option<f64>,
    /// Whether the endpoint is the one that would be picked. If not, the value says why, for example because the request
    /// excludes it.
    pub result: CandidateResult,
}

impl Explanation {
    fn new(
        snapshot: &Snapshot,
        request: &PickRequest<'_>,
        selection: Result<Selection, PickError>,
        notes: Notes,
    ) -> Self {
        let candidate = |slot: Slot| {
            let status = EndpointStatus::of(snapshot, slot)?;
            let score = notes.scores.iter().rev().find(|(noted, _)| *noted == slot).map(|&(_, score)| score);
            let result = match &selection {
                Ok(selection) if selection.slot == slot => match selection.binding_outcome {
                    BindingOutcome::Kept => CandidateResult::Preferred,
                    BindingOutcome::Missed(_) if notes.results.contains(&(slot, CandidateResult::StandIn)) => {
                        CandidateResult::StandIn
                    }
                    _ => CandidateResult::Picked,
                },
                _ if status.availability == Availability::Unhealthy && !snapshot.is_eligible(slot) => {
                    CandidateResult::Unhealthy
                }
                _ => result(slot, &status, request, score, &notes, snapshot.is_tried(slot)),
            };
            Some(Candidate { status, score, result })
        };
        let candidates: Vec<Candidate> = snapshot.slots().filter_map(candidate).collect();
        let binding_outcome = match &selection {
            Ok(selection) => selection.binding_outcome,
            Err(PickError::Bound { missed, .. }) => BindingOutcome::Missed(*missed),
            Err(_) => BindingOutcome::Unbound,
        };
        let picked =
            selection.map(|selected| snapshot.members().get(selected.slot).map(|member| member.spec.id().clone()));
        let picked = picked.and_then(|id| id.ok_or(PickError::Declined));
        Self { revision: snapshot.revision(), picked, binding_outcome, candidates }
    }
}

#[cfg(feature = "serde")]
fn picked<S: serde::Serializer>(picked: &Result<EndpointId, PickError>, serializer: S) -> Result<S::Ok, S::Error> {
    match picked {
        Ok(id) => serializer.collect_map([("endpoint", id.as_str())]),
        Err(error) => serializer.collect_map([("error", error.to_string())]),
    }
}

fn result(
    slot: Slot,
    status: &EndpointStatus,
    request: &PickRequest<'_>,
    score: Option<f64>,
    notes: &Notes,
    tried: bool,
) -> CandidateResult {
    match status.availability {
        Availability::Maintenance => return CandidateResult::Maintenance,
        Availability::Draining => return CandidateResult::Draining,
        _ if status.weight == 0 => return CandidateResult::NoWeight,
        // An unhealthy endpoint gets here only in a panic.
        Availability::Up | Availability::Unhealthy | Availability::Probation => {}
    }
    let noted = notes.results.iter().find(|(noted, _)| *noted == slot).map(|&(_, result)| result);
    noted.unwrap_or_else(|| match score {
        Some(_) => CandidateResult::Outscored,
        // The picker did not look at the endpoint, but would have found it unusable.
        None if request.excludes(&status.id) => CandidateResult::Excluded,
        None if status.max_in_flight.is_some_and(|most| status.in_flight >= most) => CandidateResult::Full,
        None if tried => CandidateResult::OnProbation,
        None => CandidateResult::NotConsidered,
    })
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.picked {
            Ok(id) => write!(f, "picked {id} at revision {}", self.revision.get())?,
            Err(error) => write!(f, "no pick at revision {}: {error}", self.revision.get())?,
        }
        if let BindingOutcome::Missed(missed) = self.binding_outcome {
            write!(f, "\n  the endpoint that it is bound to is not used: {missed}")?;
        }
        let width = self.candidates.iter().map(|candidate| candidate.status.id.as_str().len()).max().unwrap_or(0);
        for Candidate { status, score, result } in &self.candidates {
            let score = score.map_or_else(|| "-".to_owned(), |score| format!("{score:.3}"));
            write!(
                f,
                "\n  {:<width$}  {:<14}  score {score:>10}  in flight {:>4}  weight {:>3}  {}",
                status.id, result, status.in_flight, status.weight, status.tier
            )?;
        }
        Ok(())
    }
}

impl Snapshot {
    /// Returns the error of a pick that has found no endpoint.
    #[cold]
    pub(super) fn why_none(&self, request: &PickRequest<'_>, settings: &PoolSettings) -> PickError {
        if self.members().index.is_empty() {
            return PickError::Empty;
        }
        if self.eligible_count() == 0 {
            return PickError::Unavailable { members: self.members().index.len() };
        }
        let eligible = self.tiers.iter().flat_map(|tier| tier.view.eligible().iter());
        let left = eligible
            .filter_map(|&slot| Some((slot, self.members().get(slot)?)))
            .filter(|(_, member)| !request.excludes(member.endpoint.id()));
        // It does not matter whether the endpoints are full now. A permit or a pass may have been given back since the
        // pick failed.
        match left
            // The limit of the permits may be newer than this snapshot. The pick has obeyed the newer one.
            .map(|(slot, member)| {
                member.max_in_flight().is_some()
                    || member.endpoint.max_in_flight().is_some()
                    || self.is_on_probation(slot)
            })
            .reduce(|one, other| one && other)
        {
            None => PickError::Excluded,
            Some(limited) if limited || settings.needs.leases => PickError::Saturated,
            Some(_) => PickError::Declined,
        }
    }
}
