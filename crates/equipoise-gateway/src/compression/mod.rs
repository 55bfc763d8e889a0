//! Compression of responses and decompression of requests.
//!
//! # Responses
//!
//! [`CompressionLayer`] compresses the bodies of responses for clients that accept it. The encoders are those of
//! [`tower-http`](https://docs.rs/tower-http). A response is compressed if all of this is true:
//!
//! - Its media type is one of [`media_types`](CompressionLayer::media_types). gRPC and event streams are never
//!   compressed.
//! - It is not shorter than [`min_bytes`](CompressionLayer::min_bytes), or its length is not known.
//! - It has a status that is neither 1xx, 204, 205, 206 nor 304, and neither `Content-Encoding` nor `Content-Range`.
//! - Neither the request nor the response has `Cache-Control: no-transform`.
//!
//! Such a response gets `Vary: Accept-Encoding`, also for clients that get it as it is, because a cache between client
//! and gateway must tell these clients apart. A compressed response also has these changes:
//!
//! - A strong `ETag` becomes a weak one: `"a"` becomes `W/"a"`. A client that sends it in `If-None-Match` gets 304 as
//!   usual, because this comparison is a weak one (RFC 9110, section 13.1.2). The 304 then has the weak `ETag` too. In
//!   `If-Match` and `If-Range`, a weak `ETag` never matches: an API in which clients update documents with `If-Match`
//!   should not be compressed, or should make the tags itself from the content.
//! - `Content-Length`, `Accept-Ranges` and digests of the content are removed.
//!
//! Trailers are kept. What the backend has sent is encoded and flushed before the next part is waited for, so a slow
//! stream is not held back. The response to `HEAD` has the fields of that to `GET`.
//!
//! The layer should be outside of a cache, so that one stored response serves all clients. It reads `Accept-Encoding`,
//! and passes it on: a backend that compresses itself still does so, unless
//! [`plain_backend`](CompressionLayer::plain_backend) is set.
//!
//! **Security**: if a response contains both a secret (such as a CSRF token) and text that another site can choose
//! (such as a search term), the length of the compressed response tells about the secret, even with TLS. This is the
//! attack [BREACH](https://www.breachattack.com/). Do not compress such pages, or mask the secret differently in each
//! response. A backend can exclude a response with `Cache-Control: no-transform`, and
//! [`only_if`](CompressionLayer::only_if) can exclude responses by any other property.
//!
//! ```
//! use std::convert::Infallible;
//! use equipoise_gateway::compression::{CompressionLayer, Encoding};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use bytes::Bytes;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let compression = CompressionLayer::new().encodings([Encoding::Brotli, Encoding::Gzip])?.level(Encoding::Brotli, 5)?;
//! let service = ServiceBuilder::new().layer(compression.clone()).service(service_fn(async |_: Request<()>| {
//!     let text = Full::<Bytes>::from("text ".repeat(1000));
//!     Ok::<_, Infallible>(Response::builder().header("content-type", "text/plain").body(text).expect("valid"))
//! }));
//! let request = Request::get("/").header("accept-encoding", "gzip, br").body(())?;
//! let response = service.oneshot(request).await?;
//! assert_eq!(response.headers()["content-encoding"], "br");
//! assert_eq!(compression.stats().of(Encoding::Brotli).messages, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Requests
//!
//! [`DecompressionLayer`] decompresses the bodies of requests, for backends that cannot. It limits the length of the
//! result and how much longer than the request it may be, so that a small request cannot fill the memory of the
//! backend.

mod body;
mod choice;
mod codec;
mod encoding;
mod error;
mod future;
mod head;
mod layer;
mod media;
mod negotiate;
mod request;
mod settings;
mod stats;
#[cfg(test)]
mod tests;

pub use self::{
    body::CompressedBody,
    encoding::Encoding,
    error::InvalidCompression,
    future::CompressionFuture,
    layer::{Compression, CompressionLayer, CompressionStats},
    request::{DecompressedBody, Decompression, DecompressionError, DecompressionLayer, DecompressionStats},
    stats::EncodingStats,
};
