//! Redirects.

mod layer;
mod rule;

pub use self::{
    layer::{RedirectLayer, RedirectStats, Redirects},
    rule::{InvalidRedirect, RedirectRule},
};
