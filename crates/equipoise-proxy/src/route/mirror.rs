use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use equipoise_affinity::source::{PeerAddr, ProxiedAddr};
use equipoise_tower::BoxError;
use http::{Extensions, Request, Response, header::UPGRADE};
use http_body::Body;
use tokio::runtime::Handle;
use tower_service::Service;

use super::body::RouteBody;
use crate::{
    headers::{ConnectionInfo, OriginalHost},
    timing::within,
};

/// Sends copies of requests to a second service, for example to test a new version with real traffic.
///
/// The client never waits for the mirror and gets nothing of it. The copies are bounded: a copy is not made if too many
/// are under way, and it is given up if it takes too long, or if the mirror reads the body more slowly than the first
/// service. Requests that ask for an upgrade are not copied.
///
/// Clones count their copies together, also if their limits are changed. If a new table of routes
/// [replaces](super::Router::replace) another one, use a clone of the earlier mirror: a mirror from [`Mirror::to`] does
/// not count the copies of the earlier one that are still under way.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::route::{Mirror, Route};
///
/// let route = Route::to("web", "web").mirror(Mirror::to("next-version").share(0.1).max_in_flight(16));
/// # drop(route);
/// ```
#[derive(Clone, Debug)]
pub struct Mirror<T> {
    service: T,
    share: f64,
    max_in_flight: usize,
    max_buffered_bytes: usize,
    timeout: Duration,
    in_flight: Arc<AtomicUsize>,
}

impl<T> Mirror<T> {
    /// Creates a mirror that gets a copy of each request, with the limits that the methods name.
    pub fn to(service: T) -> Self {
        Self {
            service,
            share: 1.0,
            max_in_flight: 100,
            max_buffered_bytes: 64 * 1024,
            timeout: Duration::from_secs(30),
            in_flight: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// Sets the share of requests that are copied, from 0.0 to 1.0. They are drawn at random. Default: 1.0.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Sets the maximum number of copies that are under way at the same time, with those of all clones. Default: 100.
    #[must_use]
    pub fn max_in_flight(mut self, copies: usize) -> Self {
        self.max_in_flight = copies;
        self
    }

    /// Sets how many bytes of a body may wait for the mirror. They are copied, so this is the memory that one copy uses
    /// for its body. If more wait, or more than 256 frames, the copy is given up. Default: 64 KiB.
    #[must_use]
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.max_buffered_bytes = bytes;
        self
    }

    /// Sets the maximum time of a copy, with the whole response. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Returns the number of copies of this mirror and its clones that are under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Returns a place for a copy, unless the request should not be copied.
    fn admit<B>(&self, request: &Request<B>) -> Option<Place> {
        let is_drawn = self.share >= 1.0 || rand::random::<f64>() < self.share;
        if !is_drawn || request.headers().contains_key(UPGRADE) {
            return None;
        }
        let place = Place(Arc::clone(&self.in_flight));
        (place.0.fetch_add(1, Ordering::Relaxed) < self.max_in_flight).then_some(place)
    }
}

/// A copy that is counted as under way.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Copies a request to the mirror, if there is one and its limits allow it. Returns the request itself.
pub(super) fn forward<S, B, R>(mirror: Option<&Mirror<S>>, request: Request<B>) -> Request<RouteBody<B>>
where
    S: Service<Request<RouteBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body + Send,
    R::Error: Into<BoxError>,
{
    let admitted = mirror.and_then(|mirror| Some((mirror, mirror.admit(&request)?, Handle::try_current().ok()?)));
    let Some((mirror, place, runtime)) = admitted else { return request.map(RouteBody::client) };
    let (head, body) = request.into_parts();
    let (body, copy) = RouteBody::copied(body, mirror.max_buffered_bytes);
    let mut copied = Request::new(copy);
    *copied.method_mut() = head.method.clone();
    *copied.uri_mut() = head.uri.clone();
    *copied.version_mut() = head.version;
    *copied.headers_mut() = head.headers.clone();
    copy_extension::<PeerAddr>(&head.extensions, &mut copied);
    copy_extension::<ProxiedAddr>(&head.extensions, &mut copied);
    copy_extension::<ConnectionInfo>(&head.extensions, &mut copied);
    copy_extension::<OriginalHost>(&head.extensions, &mut copied);
    let (service, limit) = (mirror.service.clone(), mirror.timeout);
    runtime.spawn(async move {
        // Whether the mirror works is seen in its own counters.
        let _ = within(limit, exchange(service, copied)).await;
        drop(place);
    });
    Request::from_parts(head, body)
}

fn copy_extension<T: Clone + Send + Sync + 'static>(extensions: &Extensions, copy: &mut Request<impl Sized>) {
    if let Some(extension) = extensions.get::<T>() {
        copy.extensions_mut().insert(extension.clone());
    }
}

/// Sends a copy, and reads the response to its end, so that its connection can be used again.
async fn exchange<S, B, R>(mut service: S, request: Request<RouteBody<B>>) -> Option<()>
where
    S: Service<Request<RouteBody<B>>, Response = Response<R>>,
    R: Body,
{
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.ok()?;
    let response = service.call(request).await.ok()?;
    let mut body = std::pin::pin!(response.into_body());
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        frame.ok()?;
    }
    Some(())
}
