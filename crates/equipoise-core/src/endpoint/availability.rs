use std::fmt;

/// Whom an endpoint takes: everybody, those bound to it, or nobody; or everybody in an emergency only.
///
/// | | picked by the strategy | honoured when preferred |
/// | --- | --- | --- |
/// | `Open`, weight above 0 | yes | yes |
/// | `Open`, weight 0 | no | yes |
/// | `Unfit` | in a [panic](crate::PoolBuilder::panic_below) only | in a panic only |
/// | `BoundOnly` | no | yes |
/// | `Closed` | no | no |
///
/// Whatever it is set to, leases that are out stay valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Availability {
    /// Takes new work.
    #[default]
    Open,
    /// Does not look able to work, in the opinion of whoever checks: takes nothing, unless so many of its tier are unfit
    /// that the opinion is doubtful, or the rest would be overrun.
    Unfit,
    /// Draining: only a request that [prefers](crate::PickRequest::prefer) it gets there.
    BoundOnly,
    /// Takes nothing.
    Closed,
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Unfit => "unfit",
            Self::BoundOnly => "bound-only",
            Self::Closed => "closed",
        })
    }
}
