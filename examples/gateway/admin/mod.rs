//! The admin interface: the status page, the metrics, the state of the gateway as JSON, and commands that set the
//! administrative state of endpoints.

mod access;
mod answer;
mod command;
mod explain;
mod report;
mod service;
mod state;
pub(crate) mod watched;

pub(crate) use self::{
    access::Access,
    service::Admin,
    state::{ListenerState, Running, State},
};
