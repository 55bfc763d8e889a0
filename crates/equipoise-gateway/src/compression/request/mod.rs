//! Decompression of requests.

mod body;
mod error;
mod layer;
mod settings;
mod window;
mod zstd;

pub use self::{
    body::DecompressedBody,
    error::DecompressionError,
    layer::{Decompression, DecompressionLayer, DecompressionStats},
};
