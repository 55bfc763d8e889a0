//! Load signals: how many leases each endpoint has out, counted per thread.

mod handle;
mod stripe;

pub(crate) use self::{
    handle::Handle,
    stripe::{default_stripes, thread_number},
};
