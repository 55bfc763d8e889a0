//! Random draws of endpoints, and comparisons of the drawn endpoints. Used by [`Random`](super::Random),
//! [`LeastConnections`](super::LeastConnections) and the strategies that compare a few endpoints ([`P2c`](super::P2c),
//! [`LeastTime`](super::LeastTime), [`PeakEwma`](super::PeakEwma) and [`LogEwma`](super::LogEwma)).

mod contender;
mod contest;
mod lottery;
mod race;

pub use self::{contender::InvalidChoices, contest::P2c};
pub(super) use self::{
    contender::{Choices, Cost, Gauge, MAX_CHOICES, REDRAWS, lowest, several, unit},
    contest::Contest,
    lottery::Lottery,
    race::{MAX_CONTENDERS, Race, SLACK},
};
