use std::{
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{activity::Activity, in_flight::Admitted, streams::Progress};

/// Keeps a connection busy with a request until it is dropped.
#[derive(Debug)]
pub(super) struct Busy {
    activity: Arc<Activity>,
    /// The number of the request on its connection.
    number: u64,
    answered: bool,
}

impl Busy {
    pub(super) fn new(activity: Arc<Activity>, number: u64) -> Self {
        Self { activity, number, answered: false }
    }

    /// Notes that the response has begun.
    pub(super) fn answer(&mut self) {
        self.answered = true;
        self.activity.on_response();
    }

    /// Returns whether a part of the body of the request has not come yet. Always false over HTTP/2.
    pub(super) fn is_body_open(&self) -> bool {
        self.activity.is_body_open(self.number)
    }

    /// Notes that the connection becomes a tunnel after the response.
    pub(super) fn switch(&self) {
        self.activity.on_switch();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // If the service panics, the client has not cancelled the request.
        self.activity.on_request_end(self.answered || std::thread::panicking());
    }
}

pin_project! {
    /// The body of a response. The connection is busy until this body is dropped.
    pub(super) struct TrackedBody<B> {
        #[pin]
        content: Content<B>,
        busy: Option<Busy>,
        // `None` in HTTP/1.1.
        progress: Option<Arc<Progress>>,
        admitted: Option<Arc<Admitted>>,
    }
}

pin_project! {
    #[project = ContentProjection]
    enum Content<B> {
        Service { #[pin] body: B },
        // The server has refused the request.
        Server { body: Bytes },
    }
}

impl<B> TrackedBody<B> {
    /// Creates the body of a response of the service. `progress` is that of the HTTP/2 stream.
    pub(super) fn of_service(
        body: B,
        busy: Option<Busy>,
        progress: Option<Arc<Progress>>,
        admitted: Option<Admitted>,
    ) -> Self {
        Self { content: Content::Service { body }, busy, progress, admitted: admitted.map(Arc::new) }
    }

    /// Creates the body of a response of the server itself.
    pub(super) fn of_server(body: Bytes, busy: Option<Busy>, progress: Option<Arc<Progress>>) -> Self {
        Self { content: Content::Server { body }, busy, progress, admitted: None }
    }
}

impl<B: Body> Body for TrackedBody<B> {
    type Data = TrackedData<B::Data>;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, B::Error>>> {
        let this = self.project();
        let (progress, admitted) = (&*this.progress, &*this.admitted);
        let frame = match this.content.project() {
            ContentProjection::Service { body } => {
                let tracked = |data| TrackedData::new(Data::Service(data), progress.clone(), admitted.clone());
                body.poll_frame(cx).map_ok(|frame| frame.map_data(tracked))
            }
            ContentProjection::Server { body } if body.is_empty() => Poll::Ready(None),
            ContentProjection::Server { body } => {
                let data = TrackedData::new(Data::Server(std::mem::take(body)), progress.clone(), None);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        };
        if let Some(progress) = progress {
            progress.on_poll(frame.is_ready());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Service { body } => body.is_end_stream(),
            Content::Server { body } => body.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Service { body } => body.size_hint(),
            Content::Server { body } => SizeHint::with_exact(body.len() as u64),
        }
    }
}

/// A frame of a response. In HTTP/2, it is counted until it is written or discarded, because a request ends when its
/// body has returned the last frame, not when the client has it.
pub(super) struct TrackedData<D> {
    data: Data<D>,
    progress: Option<Arc<Progress>>,
    /// The request is in flight until all its frames are written or discarded.
    _admitted: Option<Arc<Admitted>>,
}

enum Data<D> {
    Service(D),
    Server(Bytes),
}

impl<D> TrackedData<D> {
    fn new(data: Data<D>, progress: Option<Arc<Progress>>, admitted: Option<Arc<Admitted>>) -> Self {
        if let Some(progress) = &progress {
            progress.on_frame();
        }
        Self { data, progress, _admitted: admitted }
    }
}

impl<D> Drop for TrackedData<D> {
    fn drop(&mut self) {
        if let Some(progress) = &self.progress {
            progress.on_frame_end();
        }
    }
}

impl<D: Buf> Buf for TrackedData<D> {
    fn remaining(&self) -> usize {
        match &self.data {
            Data::Service(data) => data.remaining(),
            Data::Server(data) => data.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.data {
            Data::Service(data) => data.chunk(),
            Data::Server(data) => data.chunk(),
        }
    }

    fn chunks_vectored<'a>(&'a self, chunks: &mut [IoSlice<'a>]) -> usize {
        match &self.data {
            Data::Service(data) => data.chunks_vectored(chunks),
            Data::Server(data) => data.chunks_vectored(chunks),
        }
    }

    fn advance(&mut self, count: usize) {
        match &mut self.data {
            Data::Service(data) => data.advance(count),
            Data::Server(data) => data.advance(count),
        }
        if let Some(progress) = &self.progress {
            progress.on_frame_part();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        match &mut self.data {
            Data::Service(data) => data.copy_to_bytes(length),
            Data::Server(data) => data.copy_to_bytes(length),
        }
    }
}
