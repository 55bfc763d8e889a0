//! One reading of the path of a request: paths that servers read differently are refused or rewritten.

mod layer;
mod policy;

pub use self::{
    layer::{OriginalPath, UriLayer, UriStats, Uris},
    policy::{PathAction, PathFault, UriPolicy},
};
