//! Identifiers: endpoint ids, slots (positions in a pool), tiers (priority groups) and revisions (counts of changes).

use std::{
    borrow::{Borrow, Cow},
    fmt,
    sync::Arc,
};

use crate::entropy::mix;

/// The id of an endpoint: a text that is unique in its pool and stays the same across updates.
///
/// The pool stores the load, the latency estimates and all other state of an endpoint under its id. The default id of
/// an [`EndpointSpec`](crate::EndpointSpec) is its address. A valid id has 1 to 255 bytes and no control characters, so
/// that it fits into a header or a cookie. The pool checks the id when a spec is added. Clones share the text, so
/// cloning does not copy it.
///
/// Methods that need an id accept `&str`, `String`, `EndpointId` and `&EndpointId`. With the feature `serde`, an id is
/// serialized as its text.
///
/// ```
/// use equipoise_core::EndpointId;
///
/// let id = EndpointId::from("10.0.0.7:8080");
/// assert_eq!(id.as_str(), "10.0.0.7:8080");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Arc<str>);

impl EndpointId {
    /// Returns the text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

/// Creates an id from a `&str`, a `&String`, an `&EndpointId` or another reference to a text. Copies the text.
impl<S: AsRef<str> + ?Sized> From<&S> for EndpointId {
    fn from(text: &S) -> Self {
        Self(Arc::from(text.as_ref()))
    }
}

impl From<String> for EndpointId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Arc<str>> for EndpointId {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl From<Cow<'_, str>> for EndpointId {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into())
    }
}

impl AsRef<str> for EndpointId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EndpointId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The position of an endpoint in its pool: a small number that stays the same while the endpoint is in the pool.
///
/// Strategies use slots as indexes into their tables. After an endpoint has been removed, an endpoint that is added
/// later may get the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// Returns the slot as an index into a table. The index is at least 0 and below
    /// [`View::capacity`](crate::View::capacity).
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The priority of an endpoint, as a number. All endpoints of one pool with the same number form a tier (a priority
/// group). Endpoints with lower numbers are used first. Default: [`PRIMARY`](Self::PRIMARY), which is 0.
///
/// A pool picks from the first tier in which an endpoint can be picked. If too few endpoints of a tier are eligible and
/// the pool has [`Spillover::Proportional`](crate::Spillover::Proportional), a part of the requests goes to the next
/// tier.
///
/// ```
/// use equipoise_core::Tier;
///
/// assert!(Tier::PRIMARY < Tier::BACKUP);
/// assert_eq!(Tier::BACKUP, Tier::new(1));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tier(u8);

impl Tier {
    /// Tier 0: the priority group of the endpoints that are used first.
    pub const PRIMARY: Self = Self(0);
    /// Tier 1: the priority group of the backup endpoints. With the default [`Spillover`](crate::Spillover), they are
    /// used only if no endpoint of tier 0 can be picked, for example because all endpoints of tier 0 are unavailable or
    /// have reached their maximum number of requests in flight.
    pub const BACKUP: Self = Self(1);

    /// Creates the tier (priority group) with the number `n`. 0 is [`PRIMARY`](Self::PRIMARY), and 1 is
    /// [`BACKUP`](Self::BACKUP). Tiers with higher numbers are used after these.
    pub const fn new(n: u8) -> Self {
        Self(n)
    }

    /// Returns the number of the tier (priority group): 0 is used first, 255 last.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.pad("primary"),
            1 => f.pad("backup"),
            n => write!(f, "tier {n}"),
        }
    }
}

/// The number of changes that a pool has had so far. Each change of members, weights, maximum numbers of requests in
/// flight or availability adds 1.
///
/// Revisions of the same pool can be compared: the larger revision is the later one. With the feature `serde`, a
/// revision is serialized as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Revision(u64);

impl Revision {
    /// Returns the number of changes that the pool has had up to this revision. 0 for a new pool.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns a revision for something that was derived from the state of this revision, such as a narrowed view. The
    /// highest bit is set, so that the result never equals the revision of a pool.
    pub(crate) fn derived(self, digest: u64) -> Self {
        Self(mix(self.0 ^ digest) | 1 << 63)
    }
}
