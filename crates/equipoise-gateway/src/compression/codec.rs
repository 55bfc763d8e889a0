//! Encoders and decoders of tower-http. The only way to one is the response of its services, which work here around a
//! service that returns the body that it gets.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    task::{Context, Poll},
};

use http::{
    Request, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING},
};
use http_body::Body;
use tower_http::{
    CompressionLevel,
    compression::{self, Compression, Predicate},
    decompression::{self, Decompression},
};
use tower_service::Service;

use super::Encoding;

/// Returns a response with an encoded body. It is ready at once.
pub(super) type Encoder<B> = compression::ResponseFuture<Ready<Result<Response<B>, Infallible>>, Always>;

/// Returns a response with a decoded body. It is ready at once.
pub(super) type Decoder<B> = decompression::ResponseFuture<Ready<Result<Response<B>, Infallible>>>;

/// tower-http is not asked whether to compress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Always;

impl Predicate for Always {
    fn should_compress<B: Body>(&self, _: &Response<B>) -> bool {
        true
    }
}

pub(super) fn encoder<B: Body>(body: B, encoding: Encoding, level: CompressionLevel) -> Encoder<B> {
    let mut request = Request::new(body);
    request.headers_mut().insert(ACCEPT_ENCODING, encoding.value());
    Compression::new(Echo).quality(level).compress_when(Always).call(request)
}

pub(super) fn decoder<B: Body>(body: B, encoding: Encoding) -> Decoder<B> {
    let mut request = Request::new(body);
    request.headers_mut().insert(CONTENT_ENCODING, encoding.value());
    Decompression::new(Echo).call(request)
}

/// Returns the body of the request, with its `Content-Encoding`.
#[derive(Clone, Copy, Debug)]
struct Echo;

impl<B> Service<Request<B>> for Echo {
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Ready<Result<Response<B>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let encoding = request.headers_mut().remove(CONTENT_ENCODING);
        let mut response = Response::new(request.into_body());
        if let Some(encoding) = encoding {
            response.headers_mut().insert(CONTENT_ENCODING, encoding);
        }
        ready(Ok(response))
    }
}
