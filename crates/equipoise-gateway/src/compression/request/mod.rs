//! Decompression of requests.

mod body;
mod error;
mod future;
mod layer;
mod settings;

pub use self::{
    body::DecompressedBody,
    error::DecompressionError,
    future::DecompressionFuture,
    layer::{Decompression, DecompressionLayer, DecompressionStats},
};
