use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Method, Request, Response, header::ACCEPT_ENCODING, response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    CompressedBody, CompressionFuture, Encoding, EncodingStats,
    encoding::{Levels, Preference},
    future::Wanted,
    head::has_no_transform,
    media::MediaTypes,
    negotiate::Accepted,
    stats::ByEncoding,
};

/// Compresses responses. See the [module](super) for which and how.
///
/// Clones share their counters and the limit of [`max_concurrent`](Self::max_concurrent).
#[derive(Clone, Debug)]
pub struct CompressionLayer {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

/// What cannot be a setting of a [`CompressionLayer`] or of a [`DecompressionLayer`](super::DecompressionLayer).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCompression {
    /// There must be an encoding.
    #[error("the list of encodings is empty: name at least one of zstd, br, gzip, deflate")]
    NoEncoding,
    /// An encoding is listed twice.
    #[error("the encoding {0} is listed twice")]
    Repeated(Encoding),
    /// The encoding has no such level.
    #[error("{encoding} has no level {level}: use {min} to {max}")]
    Level {
        /// The encoding.
        encoding: Encoding,
        /// The refused level.
        level: u8,
        /// The lowest level.
        min: u8,
        /// The highest level.
        max: u8,
    },
    /// This is no media type or pattern.
    #[error("{0:?} is no media type: use a type such as text/html, or a pattern such as text/*, *+json or */*")]
    MediaType(String),
    /// The maximum ratio is 0.
    #[error("the maximum ratio is 0: a body must be allowed to grow, by a factor of at least 1")]
    Ratio,
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

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) preference: Preference,
    pub(super) levels: Levels,
    pub(super) media_types: MediaTypes,
    pub(super) min_bytes: u64,
    pub(super) only_if: Option<Arc<Condition>>,
    pub(super) max_concurrent: usize,
    plain_backend: bool,
}

type Condition = dyn Fn(&response::Parts) -> bool + Send + Sync;

/// What all clones of a layer and all its services share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) encodings: ByEncoding,
    pub(super) not_accepted: AtomicU64,
    skipped_busy: AtomicU64,
    active: AtomicUsize,
}

/// One response that is being compressed.
#[derive(Debug)]
pub(super) struct Slot(Arc<Shared>);

impl Shared {
    /// Begins to compress a response. `None` if too many are compressed at this time.
    pub(super) fn begin(self: &Arc<Self>, max: usize) -> Option<Slot> {
        if self.active.fetch_add(1, Ordering::Relaxed) < max {
            return Some(Slot(Arc::clone(self)));
        }
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.skipped_busy.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Slot {
    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            preference: Preference::default(),
            levels: Levels::default(),
            media_types: MediaTypes::default(),
            min_bytes: 1024,
            only_if: None,
            max_concurrent: 1000,
            plain_backend: false,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("preference", &self.preference)
            .field("levels", &self.levels)
            .field("media_types", &self.media_types)
            .field("min_bytes", &self.min_bytes)
            .field("max_concurrent", &self.max_concurrent)
            .field("plain_backend", &self.plain_backend)
            .finish_non_exhaustive()
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

    /// Sets the encodings, the preferred one first. The preference decides between encodings that the client accepts with
    /// the same weight. Default: `zstd`, `br`, `gzip`, `deflate`.
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

    /// Sets the media types that are compressed: types such as `text/html`, and the patterns `text/*`, `*+json` and `*/*`.
    /// Default: `text/*`, JSON, XML, SVG, JavaScript, WebAssembly, YAML, fonts except WOFF, and other formats that are not
    /// compressed themselves. `application/grpc*` and `text/event-stream` are never compressed.
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
    /// compressed. A client that refuses responses without an encoding (`identity;q=0`) also gets shorter ones compressed.
    /// Default: 1024, because a shorter response fits into one packet anyway.
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
    /// limits the memory: with the default levels, an encoder needs up to 6 MiB for `zstd` and `br` and 0.3 MiB for `gzip`
    /// and `deflate`. Default: 1000.
    #[must_use]
    pub fn max_concurrent(mut self, max: usize) -> Self {
        self.settings_mut().max_concurrent = max;
        self
    }

    /// Sets whether `Accept-Encoding` is removed from requests, so that the backend sends all responses without an encoding.
    /// A cache inside of this layer then stores one variant of each response. Default: false.
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
            weak_tags: Wanted::weak_tags(headers),
        };
        if self.settings.plain_backend {
            request.headers_mut().remove(ACCEPT_ENCODING);
        }
        let future = self.inner.call(request);
        CompressionFuture::new(future, wanted, Arc::clone(&self.settings), Arc::clone(&self.shared))
    }
}
