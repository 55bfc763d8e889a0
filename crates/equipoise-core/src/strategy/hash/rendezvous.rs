use super::{HashMembers, KeyPlacement, Keyed, Table, keyed::sealed::Sealed};
use crate::{
    endpoint::Slot,
    strategy::{BuildError, Random},
};

/// Weighted rendezvous hashing: of all endpoints, the one that the key and the endpoint's id score highest together.
///
/// Choose it for small pools (a few dozen) or where nothing but exact theory will do: shares equal the weights, and
/// whatever changes, only the keys of the endpoint that changed move, those of a leaver to all others in proportion to
/// their weights. Its weakness: each pick looks at every endpoint, O(n), so some 1.5 ns an endpoint.
///
/// No tables; build O(n log n) when the membership changes, else O(n). Sources: Thaler and Ravishankar, *Using
/// Name-Based Mappings to Increase Hit Rates*, 1998; for the weights, the race of exponentials (Efraimidis and Spirakis
/// 2006). What all hashing strategies have in common is told at [`Keyed`].
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

/// The settings of [`Rendezvous`]: there are none.
#[derive(Clone, Copy, Debug, Default)]
pub struct RendezvousPlacement(());

impl Sealed for RendezvousPlacement {}

impl KeyPlacement for RendezvousPlacement {
    type Table = NoTable;

    fn build_table(&self, _: &HashMembers) -> Result<NoTable, BuildError> {
        Ok(NoTable(()))
    }
}

/// The layout of [`Rendezvous`]: it needs none, because the last resort of all others is its way.
pub struct NoTable(());

impl Table for NoTable {
    #[inline]
    fn candidates(&self, _: u64) -> impl Iterator<Item = Slot> {
        std::iter::empty()
    }
}
