use std::fmt;

use crate::{
    binding::BindingOutcome,
    endpoint::{Availability, EndpointId, Slot},
    pool::{Choice, EndpointStatus, PickError, Revision, Snapshot},
    request::PickRequest,
    strategy::Notes,
};

/// Why a pick goes where it goes: see [`Pool::explain`](crate::Pool::explain). Prints as a table.
///
/// With the feature `serde` it can be serialized: `picked` as `{"endpoint": id}` or as `{"error": text}`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Explanation {
    /// The pool's revision that was looked at.
    pub revision: Revision,
    /// Who would be picked.
    #[cfg_attr(feature = "serde", serde(serialize_with = "picked"))]
    pub picked: Result<EndpointId, PickError>,
    /// What became of the endpoint that the request preferred or was bound to.
    pub preference: BindingOutcome,
    /// Every member.
    pub candidates: Vec<Candidate>,
}

/// One member, as a pick saw it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Candidate {
    /// Who it is and what it carries.
    pub status: EndpointStatus,
    /// What the strategy gave it; the lowest wins. `None` if it was not compared.
    pub score: Option<f64>,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Fate {
    /// Chosen by the strategy.
    Picked,
    /// Chosen because the request preferred it or was bound to it.
    Preferred,
    /// Chosen to take the place of the endpoint that the request's session is bound to.
    StandIn,
    /// Compared, and another had the lower score.
    Outscored,
    /// Usable, but the strategy did not get to it.
    NotConsidered,
    /// Excluded from this request.
    Excluded,
    /// At its limit.
    Full,
    /// On trial, and the one request that tries it is out, or has been.
    OnProbation,
    /// Its last requests failed, and it has had its share: see [`Needs::caps_failing`](crate::Needs::caps_failing).
    Failing,
    /// A combinator keeps it from the strategy for this request.
    PassedOver,
    /// Its weight is 0.
    NoWeight,
    /// Draining.
    Draining,
    /// Unfit, and its tier does not panic.
    Unhealthy,
    /// Closed.
    Maintenance,
}

impl Explanation {
    pub(crate) fn new(
        snapshot: &Snapshot,
        request: &PickRequest<'_>,
        choice: Result<Choice, PickError>,
        notes: Notes,
    ) -> Self {
        let candidate = |slot: Slot| {
            let status = EndpointStatus::of(snapshot, slot)?;
            let score = notes.scores.iter().rev().find(|(noted, _)| *noted == slot).map(|&(_, score)| score);
            let fate = match &choice {
                Ok(choice) if choice.slot == slot => match choice.preference {
                    BindingOutcome::Kept => Fate::Preferred,
                    BindingOutcome::Missed(_) if notes.fates.contains(&(slot, Fate::StandIn)) => Fate::StandIn,
                    _ => Fate::Picked,
                },
                _ if status.availability == Availability::Unhealthy && !snapshot.is_eligible(slot) => Fate::Unhealthy,
                _ => fate(slot, &status, request, score, &notes, snapshot.is_tried(slot)),
            };
            Some(Candidate { status, score, fate })
        };
        let candidates: Vec<Candidate> = snapshot.slots().filter_map(candidate).collect();
        let preference = match &choice {
            Ok(choice) => choice.preference,
            Err(PickError::Bound { missed, .. }) => BindingOutcome::Missed(*missed),
            Err(_) => BindingOutcome::Unbound,
        };
        let picked = choice.map(|choice| snapshot.members().get(choice.slot).map(|member| member.spec.id().clone()));
        let picked = picked.and_then(|id| id.ok_or(PickError::Declined));
        Self { revision: snapshot.revision(), picked, preference, candidates }
    }
}

#[cfg(feature = "serde")]
fn picked<S: serde::Serializer>(picked: &Result<EndpointId, PickError>, serializer: S) -> Result<S::Ok, S::Error> {
    match picked {
        Ok(id) => serializer.collect_map([("endpoint", id.as_str())]),
        Err(error) => serializer.collect_map([("error", error.to_string())]),
    }
}

fn fate(
    slot: Slot,
    status: &EndpointStatus,
    request: &PickRequest<'_>,
    score: Option<f64>,
    notes: &Notes,
    tried: bool,
) -> Fate {
    match status.availability {
        Availability::Maintenance => return Fate::Maintenance,
        Availability::Draining => return Fate::Draining,
        _ if status.weight == 0 => return Fate::NoWeight,
        // Whoever is unfit and gets here is used in a panic.
        Availability::Up | Availability::Unhealthy | Availability::Probation => {}
    }
    let noted = notes.fates.iter().find(|(noted, _)| *noted == slot).map(|&(_, fate)| fate);
    noted.unwrap_or_else(|| match score {
        Some(_) => Fate::Outscored,
        // The picker did not come by, but would have been told the same.
        None if request.excludes(&status.id) => Fate::Excluded,
        None if status.max_in_flight.is_some_and(|most| status.in_flight >= most) => Fate::Full,
        None if tried => Fate::OnProbation,
        None => Fate::NotConsidered,
    })
}

impl fmt::Display for Fate {
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
            Self::PassedOver => "passed over",
            Self::NoWeight => "weight 0",
            Self::Draining => "draining",
            Self::Unhealthy => "unhealthy",
            Self::Maintenance => "maintenance",
        })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.picked {
            Ok(id) => writeln!(f, "picked {id} at revision {}", self.revision.get())?,
            Err(error) => writeln!(f, "picked nobody at revision {}: {error}", self.revision.get())?,
        }
        if let BindingOutcome::Missed(missed) = self.preference {
            writeln!(f, "  the endpoint that it belongs to is not taken: {missed}")?;
        }
        let width = self.candidates.iter().map(|candidate| candidate.status.id.as_str().len()).max().unwrap_or(0);
        for Candidate { status, score, fate } in &self.candidates {
            let score = score.map_or_else(|| "-".to_owned(), |score| format!("{score:.3}"));
            writeln!(
                f,
                "  {:<width$}  {:<14}  score {score:>10}  in flight {:>4}  weight {:>3}  {}",
                status.id, fate, status.in_flight, status.weight, status.tier
            )?;
        }
        Ok(())
    }
}
