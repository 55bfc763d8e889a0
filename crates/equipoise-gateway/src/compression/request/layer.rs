use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::{BoxError, RequestHead};
use http::{Request, Response, header::CONTENT_ENCODING};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    DecompressedBody,
    body::Decoding,
    error::Failure,
    settings::{Place, Settings, Shared, Unsupported},
};
use crate::{
    ReplyBody, ReplyFuture, changed_content,
    compression::{Encoding, EncodingStats, InvalidCompression, choice::Preference},
    reply_future::LateDenial,
};

/// Decompresses the bodies of requests, for backends that cannot.
///
/// The inner service gets requests with the body [`DecompressedBody`](super::DecompressedBody), whatever the body is that the layered service
/// gets. Write `Request<_>` for the request of a handler, not one type of body: otherwise, the layered service is no service.
///
/// A request with `Content-Encoding: gzip`, `x-gzip`, `br`, `zstd` or `deflate` reaches the inner service without this
/// field and without `Content-Length`, and its body is decompressed while it is read. Requests without an encoding pass as
/// they are. The decompressed body is not kept, so the memory for each request is that of the decoder, whose size the client
/// chooses: at most 8 MiB for `zstd` (RFC 9659), 16 MiB for `br`, and 64 KiB for the others.
/// [`max_concurrent`](Self::max_concurrent) limits how many bodies have a decoder at the same time, and
/// [`max_per_client`](Self::max_per_client) how many of them one client has.
///
/// | request | response |
/// | --- | --- |
/// | another encoding, or more than one | 415, code `unsupported_content_encoding`, with `Accept-Encoding` (RFC 7694) |
/// | longer than [`max_bytes`](Self::max_bytes), or than [`max_ratio`](Self::max_ratio) permits | 413, code `body_too_large` |
/// | not in the format that it states, incomplete, followed by other bytes, or with a window of more than 8 MiB (`zstd`) or 16 MiB (`br`) | 400, code `malformed_body` |
/// | with a body, while [`max_concurrent`](Self::max_concurrent) others or [`max_per_client`](Self::max_per_client) of the client are decompressed | 503, code `too_many_compressed_bodies`, with `Retry-After` |
///
/// A `gzip` body of several members is refused like one that is followed by other bytes.
///
/// A length, a ratio and a format are found while the inner service reads the body. Its body fails with a
/// [`DecompressionError`](super::DecompressionError), and if the inner service then fails or returns a status of 500 or more, the client gets the
/// response of the table instead.
///
/// ```
/// use equipoise_gateway::compression::{DecompressionLayer, Encoding};
///
/// let layer = DecompressionLayer::new().encodings([Encoding::Gzip])?.max_bytes(1 << 20);
/// # drop(layer);
/// # Ok::<(), equipoise_gateway::compression::InvalidCompression>(())
/// ```
#[derive(Clone, Debug)]
pub struct DecompressionLayer {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

/// Counters of a [`DecompressionLayer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecompressionStats {
    /// Requests with `zstd`.
    pub zstd: EncodingStats,
    /// Requests with `br`.
    pub brotli: EncodingStats,
    /// Requests with `gzip`.
    pub gzip: EncodingStats,
    /// Requests with `deflate`.
    pub deflate: EncodingStats,
    /// Total number of requests that were refused because of their encoding.
    pub unsupported: u64,
    /// Total number of bodies that were longer than the maximum.
    pub too_large: u64,
    /// Total number of bodies that were compressed more than permitted.
    pub ratio: u64,
    /// Total number of bodies that were malformed or incomplete.
    pub malformed: u64,
    /// Total number of requests that were refused because too many bodies were decompressed at the same time.
    pub busy: u64,
    /// The number of bodies that are being decompressed now.
    pub concurrent: u64,
}

impl Default for DecompressionLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl DecompressionLayer {
    /// Creates a layer with the defaults that its methods name.
    #[must_use]
    pub fn new() -> Self {
        let settings = Settings {
            preference: Preference::default(),
            max_bytes: 10 << 20,
            max_ratio: 200,
            max_concurrent: 100,
            max_per_client: 20,
            client: ClientAddress::connection(),
            errors: Arc::default(),
        };
        Self { settings: Arc::new(settings), shared: Arc::default() }
    }

    /// Sets the encodings that are decompressed. Requests with others are refused. Default: all.
    ///
    /// # Errors
    /// The list is empty, or contains an encoding twice.
    pub fn encodings(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Result<Self, InvalidCompression> {
        let preference = Preference::new(encodings)?;
        self.settings_mut().preference = preference;
        Ok(self)
    }

    /// Sets the maximum length of a decompressed body in bytes. Default: 10 MiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings_mut().max_bytes = bytes;
        self
    }

    /// Sets how many times longer than the compressed body the decompressed one may be. The first 1 MiB is free,
    /// because short texts with many repetitions are common. Default: 200. The formats reach about 1 000 (`gzip`) and
    /// more.
    ///
    /// # Errors
    /// The ratio is 0.
    pub fn max_ratio(mut self, ratio: u32) -> Result<Self, InvalidCompression> {
        if ratio == 0 {
            return Err(InvalidCompression::Ratio);
        }
        self.settings_mut().max_ratio = ratio;
        Ok(self)
    }

    /// Sets how many bodies may be decompressed at the same time, by this layer and its clones. A body counts until it was
    /// dropped, so a client that sends slowly keeps its place. Requests above are refused with status 503. Default: 100.
    ///
    /// # Errors
    /// The number is 0.
    pub fn max_concurrent(mut self, bodies: usize) -> Result<Self, InvalidCompression> {
        if bodies == 0 {
            return Err(InvalidCompression::Concurrent);
        }
        self.settings_mut().max_concurrent = bodies;
        Ok(self)
    }

    /// Sets how many of these bodies may be of one client, so that one client cannot take all places. Requests above
    /// are refused with status 503. A client is an IPv4 address or the first 64 bits of an IPv6 address. If the address
    /// is not known, only [`max_concurrent`](Self::max_concurrent) holds. Default: 20.
    ///
    /// # Errors
    /// The number is 0.
    pub fn max_per_client(mut self, bodies: usize) -> Result<Self, InvalidCompression> {
        if bodies == 0 {
            return Err(InvalidCompression::Concurrent);
        }
        self.settings_mut().max_per_client = bodies;
        Ok(self)
    }

    /// Sets how the address of the client is found. Behind proxies, it should trust exactly these proxies. Default: the
    /// address of the connection.
    #[must_use]
    pub fn client_address(mut self, client: ClientAddress) -> Self {
        self.settings_mut().client = client;
        self
    }

    /// Sets how refusals look. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.settings_mut().errors = Arc::new(errors);
        self
    }

    /// Returns the counters of this layer and its clones.
    pub fn stats(&self) -> DecompressionStats {
        let shared = &*self.shared;
        DecompressionStats {
            zstd: shared.encodings.get(Encoding::Zstd),
            brotli: shared.encodings.get(Encoding::Brotli),
            gzip: shared.encodings.get(Encoding::Gzip),
            deflate: shared.encodings.get(Encoding::Deflate),
            unsupported: shared.unsupported.load(Ordering::Relaxed),
            too_large: shared.too_large.load(Ordering::Relaxed),
            ratio: shared.ratio.load(Ordering::Relaxed),
            malformed: shared.malformed.load(Ordering::Relaxed),
            busy: shared.busy.load(Ordering::Relaxed),
            concurrent: shared.concurrent.lock().all as u64,
        }
    }

    fn settings_mut(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.settings)
    }
}

impl<S> Layer<S> for DecompressionLayer {
    type Service = Decompression<S>;

    fn layer(&self, inner: S) -> Decompression<S> {
        Decompression { inner, settings: Arc::clone(&self.settings), shared: Arc::clone(&self.shared) }
    }
}

/// The service of a [`DecompressionLayer`].
#[derive(Clone, Debug)]
pub struct Decompression<S> {
    inner: S,
    settings: Arc<Settings>,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for Decompression<S>
where
    S: Service<Request<DecompressedBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let encoding = match self.settings.encoding(request.headers()) {
            Ok(Some(encoding)) => encoding,
            Ok(None) => {
                return ReplyFuture::inner(self.inner.call(request.map(DecompressedBody::untouched)));
            }
            Err(Unsupported) => {
                let denial = self.settings.unsupported();
                self.shared.unsupported.fetch_add(1, Ordering::Relaxed);
                return ReplyFuture::own(denial.respond(&request, &self.settings.errors));
            }
        };
        // Without a body, nothing can be decompressed.
        if request.body().is_end_stream() {
            let mut request = request.map(DecompressedBody::untouched);
            request.headers_mut().remove(CONTENT_ENCODING);
            return ReplyFuture::inner(self.inner.call(request));
        }
        let Some(place) = Place::take(&self.shared, &self.settings, RequestHead::of(&request)) else {
            return ReplyFuture::own(Settings::busy().respond(&request, &self.settings.errors));
        };
        let decoding = Arc::new(Decoding::new(encoding, Arc::clone(&self.settings), Arc::clone(&self.shared)));
        let late = LateDenial::new(&request, decoding.denial(), Arc::clone(&self.settings.errors));
        let (mut parts, body) = request.into_parts();
        let Some(body) = DecompressedBody::decompressed(body, decoding, place) else {
            return ReplyFuture::own(late.respond(&Failure::Malformed.denial()));
        };
        self.shared.encodings.on_message(encoding);
        parts.headers.remove(CONTENT_ENCODING);
        changed_content::of_request(&mut parts.headers);
        ReplyFuture::inner_or_denied(self.inner.call(Request::from_parts(parts, body)), late)
    }
}
