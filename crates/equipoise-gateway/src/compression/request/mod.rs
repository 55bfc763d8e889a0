//! Decompression of requests.

mod body;
mod error;
mod future;
mod layer;

pub use self::{
    body::DecompressedBody,
    error::DecompressionError,
    future::DecompressionFuture,
    layer::{Decompression, DecompressionLayer, DecompressionStats},
};
