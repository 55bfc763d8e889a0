use std::fmt;

/// Whom an endpoint takes: everybody, those bound to it, or nobody; everybody in an emergency only; or one, to see.
///
/// | | picked by the strategy | honoured when preferred |
/// | --- | --- | --- |
/// | `Up`, weight above 0 | yes | yes |
/// | `Up`, weight 0 | no | yes |
/// | `Unhealthy` | in a [panic](crate::PoolBuilder::panic_threshold) only | in a panic only |
/// | `Probation`, weight above 0 | one lease | within that one lease |
/// | `Draining` | no | yes |
/// | `Maintenance` | no | no |
///
/// A [forced](crate::Binding::forced) binding is honoured in every state. Whatever it is set to, leases that are out stay
/// valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Availability {
    /// Takes new work.
    #[default]
    Up,
    /// Does not look able to work, in the opinion of whoever checks: takes nothing, unless so many of its tier are unfit
    /// that the opinion is doubtful, or the rest would be overrun.
    Unhealthy,
    /// Was unfit and may have recovered: the next request decides. One lease is given out, whoever asks first; it ends the
    /// trial if its [verdict](crate::Lease::record) says anything, and nobody else is let in until availability is set
    /// again. (Setting `Probation` again starts another one.) The pool offers it to the next request that reaches the endpoint's
    /// tier, is not [bound](crate::PickRequest::bound) elsewhere and does not exclude the endpoint, whatever the strategy
    /// would pick and whatever the request's key is; each trial is offered once. If the lease ends without a verdict and
    /// without a first byte, or with [`Neutral`](crate::Verdict::Neutral), the next one that the strategy sends there, or
    /// that is bound there, gets the chance; if its answer had begun and nobody wanted the rest, that counts as success.
    ///
    /// In a [panic](crate::PoolBuilder::panic_threshold), and in the counting for it and for [spillover](crate::Spillover), the
    /// endpoint is like one that is unfit.
    Probation,
    /// Draining: only a request that [prefers](crate::PickRequest::prefer) it gets there.
    Draining,
    /// Takes nothing.
    Maintenance,
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Unhealthy => "unhealthy",
            Self::Probation => "probation",
            Self::Draining => "draining",
            Self::Maintenance => "maintenance",
        })
    }
}
