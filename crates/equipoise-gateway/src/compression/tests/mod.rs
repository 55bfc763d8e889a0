//! Both layers around services that are closures.

mod requests;
mod responses;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};

use super::{
    Encoding,
    codec::{decoder, encoder},
};

/// Encodes a text.
pub(super) async fn encoded(text: impl Into<Bytes>, encoding: Encoding) -> Bytes {
    let encoder = encoder(Full::new(text.into()), encoding, tower_http::CompressionLevel::Default);
    let body = encoder.await.map(http::Response::into_body).expect("infallible");
    body.collect().await.expect("encoded").to_bytes()
}

/// Decodes a text.
async fn decoded(text: impl Into<Bytes>, encoding: Encoding) -> Bytes {
    let body = decoder(Full::new(text.into()), encoding).await.map(http::Response::into_body).expect("infallible");
    body.collect().await.expect("a complete text").to_bytes()
}

/// A body of these frames, without a known length.
#[derive(Default)]
struct Frames(VecDeque<Result<Frame<Bytes>, BoxError>>);

impl Frames {
    fn data(mut self, data: impl Into<Bytes>) -> Self {
        self.0.push_back(Ok(Frame::data(data.into())));
        self
    }

    fn trailers(mut self, trailers: http::HeaderMap) -> Self {
        self.0.push_back(Ok(Frame::trailers(trailers)));
        self
    }

    fn error(mut self, error: &'static str) -> Self {
        self.0.push_back(Err(error.into()));
        self
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front())
    }
}
