//! The small values that name things: endpoints, their slots and tiers, and revisions of a pool.

use std::{
    borrow::{Borrow, Cow},
    fmt,
    sync::Arc,
};

use crate::entropy::mix;

/// The id of an endpoint: a text that is unique in its pool and stays the same across updates.
///
/// Load, latency estimates and other state belong to the id. The default id of an [`EndpointSpec`](crate::EndpointSpec)
/// is its address. A valid id has 1 to 255 bytes and no control characters, so that it fits into a header or a cookie.
/// The pool checks this when a spec is added. Cloning is cheap: clones share the text.
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

/// Converts `&str`, `&String`, `&EndpointId` and other references to texts. Copies the text.
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

/// The position of an endpoint in its pool: a small number that stays the same while the endpoint is a member.
///
/// Strategies use it as an index into their tables. After an endpoint has left, its slot may be given to an endpoint
/// that joins later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// Returns the slot as an index. It is below [`View::capacity`](crate::View::capacity).
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The priority of an endpoint. Lower numbers are used first; the default is [`PRIMARY`](Self::PRIMARY), which is 0.
///
/// A pool picks from the lowest tier in which an endpoint can be picked. With
/// [`Spillover::Proportional`](crate::Spillover::Proportional), a tier that has lost endpoints also passes a part of
/// its requests to the next tier.
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
    /// Tier 0: the endpoints that are used first.
    pub const PRIMARY: Self = Self(0);
    /// Tier 1: used if no primary endpoint can be picked, because all are down, excluded or at their limit.
    pub const BACKUP: Self = Self(1);

    /// Creates tier number `n`: 0 is [`PRIMARY`](Self::PRIMARY), 1 is [`BACKUP`](Self::BACKUP), and higher numbers are
    /// used after those.
    pub const fn new(n: u8) -> Self {
        Self(n)
    }

    /// Returns the number of the tier.
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

/// The number of changes that a pool has seen. Each change of membership, weights, limits or availability adds 1.
///
/// Revisions of one pool can be compared: a larger one is later. With the feature `serde`, it is serialized as a
/// number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Revision(u64);

impl Revision {
    /// Returns the number of changes up to this revision.
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// A revision for what was derived from this one, such as a narrowed view. The high bit keeps it apart from counts.
    pub(crate) fn derived(self, digest: u64) -> Self {
        Self(mix(self.0 ^ digest) | 1 << 63)
    }
}
