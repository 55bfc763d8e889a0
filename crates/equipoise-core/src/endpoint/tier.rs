use std::fmt;

/// The priority class of an endpoint: a lower tier is used while any endpoint of it can be picked. With
/// [`Spillover::Proportional`](crate::Spillover::Proportional), tiers that have lost endpoints share with the next.
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
    /// Used first.
    pub const PRIMARY: Self = Self(0);
    /// Used when no primary is left: none open, all excluded, or all at their limit.
    pub const BACKUP: Self = Self(1);

    /// The tier number `n`: 0 is [`PRIMARY`](Self::PRIMARY), 1 [`BACKUP`](Self::BACKUP), and so on down.
    pub const fn new(n: u8) -> Self {
        Self(n)
    }

    /// The tier's number.
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
