//! Load signals: what an endpoint carries while leases are out.

mod failing;
mod handle;
mod permits;
mod stripe;
mod trial;

pub(crate) use self::{
    failing::{Failing, Mark},
    handle::Handle,
    permits::Permits,
    stripe::{default_stripes, thread_number},
    trial::{Pass, Trial},
};
