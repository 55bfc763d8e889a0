use super::{HashMembers, KeyPlacement, Keyed, Table, keyed::sealed::Sealed};
use crate::{
    endpoint::Slot,
    strategy::{BuildError, Random},
};

/// Weighted rendezvous hashing: for each key, every endpoint has a score, and the key goes to the endpoint with the
/// highest score. A score is computed from the weight of the endpoint and from a hash of the key and the endpoint's id.
///
/// Choose it for small pools (a few dozen endpoints), or if the shares must be exact and as few keys as possible may
/// move when the endpoints change. The shares equal the weights. If an endpoint is added or removed, or if its weight
/// changes, only keys that this endpoint gains or loses move. The keys of a removed endpoint go to all other endpoints
/// in proportion to the weights. Weakness: each pick computes the scores of all endpoints. This takes O(n) time, about
/// 1.5 ns per endpoint.
///
/// There is no table. Building a picker takes O(n) time for n endpoints, and O(n log n) if the membership has changed.
/// Sources: Thaler and Ravishankar, *Using Name-Based Mappings to Increase Hit Rates*, 1998; for the weights,
/// Efraimidis and Spirakis, *Weighted Random Sampling with a Reservoir*, 2006. [`Keyed`] describes what all hashing
/// strategies have in common.
///
/// ```
/// use equipoise_core::{EndpointSpec, PickRequest, Pool, Rendezvous};
///
/// let pool = Pool::new(Rendezvous::new());
/// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
/// let request = PickRequest::new().key(b"user-42");
/// let first = pool.pick(&request)?;
/// assert_eq!(pool.pick(&request)?.endpoint().id(), first.endpoint().id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type Rendezvous<F = Random> = Keyed<RendezvousPlacement, F>;

/// The algorithm of rendezvous hashing ([`Rendezvous`]). It has no settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct RendezvousPlacement(());

impl Sealed for RendezvousPlacement {}

impl KeyPlacement for RendezvousPlacement {
    type Table = NoTable;

    fn build_table(&self, _: &HashMembers) -> Result<NoTable, BuildError> {
        Ok(NoTable(()))
    }
}

/// The placeholder for a table in [`Rendezvous`], which needs none. Other hashing strategies look up the endpoint of a
/// key in a table. A look-up in this type never finds an endpoint, so every pick computes the rendezvous hash of all
/// endpoints.
pub struct NoTable(());

impl Table for NoTable {
    #[inline]
    fn candidates(&self, _: u64) -> impl Iterator<Item = Slot> {
        std::iter::empty()
    }
}
