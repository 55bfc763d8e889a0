//! A subscriber that records spans and events, and services to send requests to.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_core::{EndpointSpec, Pool, RoundRobin};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use parking_lot::Mutex;
use tower::util::BoxCloneSyncService;
use tracing::{
    Event, Id, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Record},
};
use tracing_subscriber::{Layer, layer, registry::LookupSpan};

/// A span that was recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) name: &'static str,
    pub(crate) target: String,
    /// The position of the parent in the list of all spans.
    pub(crate) parent: Option<usize>,
    pub(crate) fields: BTreeMap<&'static str, String>,
    /// The messages of its events, each with its fields.
    pub(crate) events: Vec<(String, BTreeMap<&'static str, String>)>,
    pub(crate) closed: bool,
}

impl Recorded {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    pub(crate) fn messages(&self) -> Vec<&str> {
        self.events.iter().map(|(message, _)| message.as_str()).collect()
    }
}

/// A layer that records all spans with the target of traces.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Recorded>>>);

impl Recorder {
    pub(crate) fn spans(&self) -> Vec<Recorded> {
        self.0.lock().clone()
    }

    /// The only span of this name.
    pub(crate) fn span(&self, name: &str) -> Recorded {
        let found: Vec<_> = self.spans().into_iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{found:#?}");
        found.into_iter().next().unwrap()
    }

    pub(crate) fn attempts(&self) -> Vec<Recorded> {
        self.spans().into_iter().filter(|span| span.name == "attempt").collect()
    }
}

struct At(usize);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, cx: layer::Context<'_, S>) {
        let span = cx.span(id).unwrap();
        let parent = span.parent().and_then(|parent| parent.extensions().get::<At>().map(|At(at)| *at));
        let metadata: &Metadata<'_> = attributes.metadata();
        let mut recorded =
            Recorded { name: metadata.name(), target: metadata.target().to_owned(), parent, ..Recorded::default() };
        attributes.record(&mut Fields(&mut recorded.fields));
        let mut all = self.0.lock();
        span.extensions_mut().insert(At(all.len()));
        all.push(recorded);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, cx: layer::Context<'_, S>) {
        let at = cx.span(id).unwrap().extensions().get::<At>().unwrap().0;
        values.record(&mut Fields(&mut self.0.lock()[at].fields));
    }

    fn on_event(&self, event: &Event<'_>, cx: layer::Context<'_, S>) {
        let Some(span) = cx.event_span(event) else { return };
        let at = span.extensions().get::<At>().unwrap().0;
        let mut fields = BTreeMap::new();
        event.record(&mut Fields(&mut fields));
        let message = fields.remove("message").unwrap_or_default();
        self.0.lock()[at].events.push((message, fields));
    }

    fn on_close(&self, id: Id, cx: layer::Context<'_, S>) {
        let at = cx.span(&id).unwrap().extensions().get::<At>().unwrap().0;
        self.0.lock()[at].closed = true;
    }
}

struct Fields<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// A response body of these frames. `None` is an error, `Err` are trailers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames(pub(crate) VecDeque<Option<Result<Bytes, HeaderMap>>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.0.pop_front().map(|frame| match frame {
            Some(Ok(data)) => Ok(Frame::data(data)),
            Some(Err(trailers)) => Ok(Frame::trailers(trailers)),
            None => Err(io::ErrorKind::ConnectionReset.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

pub(crate) type Mock = BoxCloneSyncService<Request<Full<Bytes>>, Response<Frames>, io::Error>;

/// A service that calls `answer` for each request.
pub(crate) fn mock<F>(answer: impl Fn(Request<Full<Bytes>>) -> F + Clone + Send + Sync + 'static) -> Mock
where
    F: Future<Output = io::Result<Response<Frames>>> + Send + 'static,
{
    BoxCloneSyncService::new(tower::service_fn(answer))
}

pub(crate) fn failing(kind: io::ErrorKind) -> Mock {
    mock(move |_| ready(Err(kind.into())))
}

pub(crate) fn answering(response: Response<Frames>) -> Mock {
    mock(move |_| -> Ready<_> { ready(Ok(response.clone())) })
}

pub(crate) fn ok() -> Mock {
    answering(Response::new(Frames::default()))
}

/// A pool that picks its endpoints in turn, the first one first.
pub(crate) fn pool(targets: impl IntoIterator<Item = (&'static str, Mock)>) -> Pool<Mock> {
    let pool = Pool::new(RoundRobin::new());
    for (address, target) in targets {
        pool.add(EndpointSpec::new(address), target).unwrap();
    }
    pool
}

pub(crate) fn get() -> Request<Full<Bytes>> {
    Request::get("http://shop.example:8080/orders?token=secret").body(Full::default()).unwrap()
}
