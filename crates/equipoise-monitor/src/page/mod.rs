//! A status page.

mod accept;
mod assets;
mod body;
mod control;
mod explain;
mod host;
mod json;
mod reply;
mod route;
mod service;
mod state;
mod stream;

pub use self::{
    body::PageBody,
    control::{Operator, Refused},
    service::StatusPage,
};
pub use crate::source::{ExplainAnswer, ExplainQuestion};
