use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Method, Request, Response, header::ACCEPT_ENCODING, response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    CompressedBody, CompressionFuture, Encoding, EncodingStats, InvalidCompression,
    choice::Preference,
    future::Wanted,
    head::has_no_transform,
    media::MediaTypes,
    negotiate::Accepted,
    settings::{Settings, Shared},
};
use crate::changed_content::WeakTags;

/// Compresses responses. See the [module](super) for which and how.
///
/// Clones share their counters and the limit of [`max_concurrent`](Self::max_concurrent).
#[derive(Clone, Debug)]
pub struct CompressionLayer {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

/// Counters of a [`CompressionLayer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressionStats {
    /// Responses with `zstd`.
    pub zstd: EncodingStats,
    /// Responses with `br`.
    pub brotli: EncodingStats,
    /// Responses with `gzip`.
    pub gzip: EncodingStats,
    /// Responses with `deflate`.
    pub deflate: EncodingStats,
    /// Total number of responses that could be compressed, but whose client accepts no encoding.
    pub not_accepted: u64,
    /// Total number of responses that were not compressed because of [`CompressionLayer::max_concurrent`].
    pub skipped_busy: u64,
    /// Number of responses that are compressed at this time.
    pub active: u64,
}

impl CompressionStats {
    /// Returns the counters of one encoding.
    pub fn of(&self, encoding: Encoding) -> EncodingStats {
        match encoding {
            Encoding::Zstd => self.zstd,
            Encoding::Brotli => self.brotli,
            Encoding::Gzip => self.gzip,
            Encoding::Deflate => self.deflate,
        }
    }
}

impl Default for CompressionLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl CompressionLayer {
    /// Creates a layer with the defaults that its methods name.
    #[must_use]
    pub fn new() -> Self {
        Self { settings: Arc::default(), shared: Arc::default() }
    }

    /// Sets the encodings, the preferred one first. The preference decides between encodings that the client accepts
    /// with the same weight. Default: `zstd`, `br`, `gzip`, `deflate`.
    ///
    /// # Errors
    /// The list is empty, or contains an encoding twice.
    pub fn encodings(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Result<Self, InvalidCompression> {
        let preference = Preference::new(encodings)?;
        self.settings_mut().preference = preference;
        Ok(self)
    }

    /// Sets the level of an encoding. Higher levels need more CPU time and, with `zstd` and `br`, more memory for each
    /// response. Defaults: 3 of 1 to 19 for `zstd`, 4 of 0 to 11 for `br`, 5 of 1 to 9 for `gzip` and `deflate`.
    ///
    /// # Errors
    /// The encoding has no such level.
    pub fn level(mut self, encoding: Encoding, level: u8) -> Result<Self, InvalidCompression> {
        self.settings_mut().levels.set(encoding, level)?;
        Ok(self)
    }

    /// Sets the media types that are compressed: types such as `text/html`, and the patterns `text/*`, `*+json` and
    /// `*/*`. Default: `text/*`, JSON, XML, SVG, JavaScript, WebAssembly, YAML, fonts except WOFF, and other formats
    /// that are not compressed themselves. `application/grpc*` and `text/event-stream` are never compressed.
    ///
    /// # Errors
    /// A text is neither a media type nor a pattern.
    pub fn media_types(mut self, types: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, InvalidCompression> {
        let types = MediaTypes::new(types)?;
        self.settings_mut().media_types = types;
        Ok(self)
    }

    /// Adds a media type or a pattern to those that are compressed.
    ///
    /// # Errors
    /// The text is neither a media type nor a pattern.
    pub fn add_media_type(mut self, media_type: &str) -> Result<Self, InvalidCompression> {
        self.settings_mut().media_types.add(media_type)?;
        Ok(self)
    }

    /// Sets the minimum length of a response that is compressed, in bytes. A response whose length is not known is
    /// compressed. A client that refuses responses without an encoding (`identity;q=0`) also gets shorter ones
    /// compressed. Default: 1024, because a shorter response fits into one packet anyway.
    #[must_use]
    pub fn min_bytes(mut self, bytes: u64) -> Self {
        self.settings_mut().min_bytes = bytes;
        self
    }

    /// Sets a condition for the head of the response, in addition to all others. Default: none.
    #[must_use]
    pub fn only_if(mut self, condition: impl Fn(&response::Parts) -> bool + Send + Sync + 'static) -> Self {
        self.settings_mut().only_if = Some(Arc::new(condition));
        self
    }

    /// Sets the maximum number of responses that are compressed at the same time. Further ones are sent as they are. It
    /// limits the memory: with the default levels, an encoder needs up to 6 MiB for `zstd` and `br` and 0.3 MiB for
    /// `gzip` and `deflate`. Default: 1000.
    #[must_use]
    pub fn max_concurrent(mut self, max: usize) -> Self {
        self.settings_mut().max_concurrent = max;
        self
    }

    /// Sets whether `Accept-Encoding` is removed from requests, so that the backend sends all responses without an
    /// encoding. A cache inside of this layer then stores one variant of each response. Default: false.
    #[must_use]
    pub fn plain_backend(mut self, plain: bool) -> Self {
        self.settings_mut().plain_backend = plain;
        self
    }

    /// Returns the counters of this layer and its clones.
    pub fn stats(&self) -> CompressionStats {
        let shared = &*self.shared;
        CompressionStats {
            zstd: shared.encodings.get(Encoding::Zstd),
            brotli: shared.encodings.get(Encoding::Brotli),
            gzip: shared.encodings.get(Encoding::Gzip),
            deflate: shared.encodings.get(Encoding::Deflate),
            not_accepted: shared.not_accepted.load(Ordering::Relaxed),
            skipped_busy: shared.skipped_busy.load(Ordering::Relaxed),
            active: shared.active.load(Ordering::Relaxed) as u64,
        }
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl<S> Layer<S> for CompressionLayer {
    type Service = Compression<S>;

    fn layer(&self, inner: S) -> Compression<S> {
        Compression { inner, settings: Arc::clone(&self.settings), shared: Arc::clone(&self.shared) }
    }
}

/// The service of a [`CompressionLayer`].
#[derive(Clone, Debug)]
pub struct Compression<S> {
    inner: S,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for Compression<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<CompressedBody<R>>;
    type Error = S::Error;
    type Future = CompressionFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let headers = request.headers();
        let wanted = Wanted {
            accepted: Accepted::of(headers, &self.settings.preference),
            is_head: *request.method() == Method::HEAD,
            // The body of a tunnel is not content.
            is_excluded: *request.method() == Method::CONNECT || has_no_transform(headers),
            weak_tags: WeakTags::of(headers),
        };
        if self.settings.plain_backend {
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        let future = self.inner.call(request);
        CompressionFuture::new(future, wanted, Arc::clone(&self.settings), Arc::clone(&self.shared))
    }
}
