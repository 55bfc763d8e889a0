//! One reading of the path of a request: paths that servers read differently are refused or rewritten.

mod fault;
mod layer;
mod policy;

pub use self::{
    fault::{PathAction, PathFault},
    layer::{OriginalPath, UriLayer, UriStats, Uris},
    policy::UriPolicy,
};
