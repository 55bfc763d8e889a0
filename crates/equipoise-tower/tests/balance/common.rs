//! Mock services, and a strategy that records the calls of its hooks.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_core::{
    BuildError, Endpoint, EndpointId, EndpointSpec, Needs, PickCx, PickRequest, Picker, Pool, Slot, Strategy,
    Timestamp, Verdict, View,
};
use equipoise_tower::{BoxError, NotSent};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use parking_lot::Mutex;
use tower::{service_fn, util::BoxCloneSyncService};

/// A request body that cannot be copied, only handed back.
pub(crate) type Once = BoxBody<Bytes, Infallible>;
/// An endpoint's service.
pub(crate) type Mock = BoxCloneSyncService<Request<Once>, Response<Frames>, Fault>;

/// The error type of the mock services. It is not `BoxError`: with a `BoxError` in the type of the service, rustc
/// cannot prove that a task that holds the service is `Send`.
#[derive(Debug)]
pub(crate) struct Fault(BoxError);

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl From<Fault> for BoxError {
    fn from(fault: Fault) -> Self {
        fault.0
    }
}

/// A response body as a list of frames. `None` is an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frames(VecDeque<Option<Result<Bytes, HeaderMap>>>);

impl Frames {
    pub(crate) fn of(data: impl IntoIterator<Item = Bytes>) -> Self {
        Self(data.into_iter().map(|data| Some(Ok(data))).collect())
    }

    pub(crate) fn data(mut self, data: &'static str) -> Self {
        self.0.push_back(Some(Ok(data.into())));
        self
    }

    pub(crate) fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        let trailers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))]);
        self.0.push_back(Some(Err(trailers)));
        self
    }

    pub(crate) fn error(mut self) -> Self {
        self.0.push_back(None);
        self
    }
}

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

/// A service that calls `answer` for each request.
pub(crate) fn mock<F>(answer: impl Fn(Request<Once>) -> F + Clone + Send + Sync + 'static) -> Mock
where
    F: Future<Output = Result<Response<Frames>, Fault>> + Send + 'static,
{
    BoxCloneSyncService::new(service_fn(answer))
}

/// A service that reads the request's body and returns it as the response's body.
pub(crate) fn echo() -> Mock {
    mock(|request| async {
        let body = request.into_body().collect().await?.to_bytes();
        Ok(Response::new(Frames(VecDeque::from([Some(Ok(body))]))))
    })
}

/// A service that returns `answer` and does not read the request's body.
pub(crate) fn answering(answer: Response<Frames>) -> Mock {
    mock(move |_| {
        let answer = answer.clone();
        async { Ok(answer) }
    })
}

/// A service that fails with `error` and does not read the request's body.
pub(crate) fn failing(error: io::ErrorKind) -> Mock {
    mock(move |_| async move { Err(io::Error::from(error).into()) })
}

pub(crate) fn not_sent() -> NotSent {
    NotSent::new("the circuit is open")
}

pub(crate) fn get() -> Request<Once> {
    Request::get("http://orders/today").body(Full::default().boxed()).unwrap()
}

pub(crate) fn post(body: &'static str) -> Request<Once> {
    Request::post("http://orders/today").body(Full::from(body).boxed()).unwrap()
}

/// A pool that picks its endpoints in the order of `targets`, and the recorder of its strategy's hooks.
pub(crate) fn pool<T: Clone + Send + Sync + 'static>(targets: &[(&str, T)]) -> (Pool<T>, Recorder) {
    let recorder = Recorder::default();
    let pool = Pool::new(recorder.clone());
    for (name, target) in targets {
        pool.add(EndpointSpec::new(name), target.clone()).unwrap();
    }
    (pool, recorder)
}

/// The number of leases in flight of each endpoint.
pub(crate) fn in_flight<T>(pool: &Pool<T>) -> Vec<u32> {
    pool.endpoints().iter().map(|endpoint| endpoint.in_flight).collect()
}

/// A strategy that picks the endpoint whose id is the request's key. Without such an endpoint, it picks the first
/// usable one, in the order in which they joined the pool.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    acquired: Vec<String>,
    verdicts: Vec<(String, Verdict)>,
}

impl Recorder {
    /// The ids of the endpoints of all leases so far, in order.
    pub(crate) fn admit(&self) -> Vec<String> {
        self.0.lock().acquired.clone()
    }

    /// The verdicts so far, in order, each with the id of its endpoint.
    pub(crate) fn verdicts(&self) -> Vec<(String, Verdict)> {
        self.0.lock().verdicts.clone()
    }
}

impl Strategy for Recorder {
    type State = EndpointId;
    type Picker = FirstOrKey;

    fn state(&self, spec: &EndpointSpec) -> EndpointId {
        spec.id().clone()
    }

    fn build(&self, view: &View, _: Option<&FirstOrKey>) -> Result<FirstOrKey, BuildError> {
        Ok(FirstOrKey(view.eligible().into()))
    }

    fn needs(&self) -> Needs {
        Needs::new().outcomes().leases()
    }

    fn admit(&self, id: &EndpointId, _: &Endpoint, _: &PickRequest<'_>) -> bool {
        self.0.lock().acquired.push(id.to_string());
        true
    }

    fn on_outcome(&self, id: &EndpointId, verdict: Verdict, _: Timestamp) {
        self.0.lock().verdicts.push((id.to_string(), verdict));
    }
}

pub(crate) struct FirstOrKey(Box<[Slot]>);

impl Picker for FirstOrKey {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let (key, view) = (cx.key(), cx.view());
        let named = |slot: Slot| view.endpoint(slot).map(|endpoint| endpoint.id().as_str().as_bytes());
        let keyed = self.0.iter().copied().find(|&slot| key.is_some() && named(slot) == key);
        keyed.into_iter().chain(self.0.iter().copied()).find(|&slot| cx.usable(slot))
    }
}
