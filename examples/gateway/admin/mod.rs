//! The admin interface: the state of the gateway, and commands that set the administrative state of endpoints. It has
//! no authentication.

mod answer;
mod command;
mod explain;
mod report;
mod service;
mod state;

pub(crate) use self::{
    service::Admin,
    state::{ListenerState, Running, State},
};
