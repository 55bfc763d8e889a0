use std::{fmt, marker::PhantomData};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{AnyBody, Functions, FunctionsService, InvalidFunctions};

/// [`Functions`] as a tower layer, for services of one type of bodies.
pub struct FunctionsLayer<B, R> {
    functions: Functions,
    bodies: PhantomData<fn(B) -> R>,
}

impl Functions {
    /// Creates a tower layer, for services with these types of bodies. The compiler infers the types. The inner service takes
    /// requests with the body [`AnyBody`], as those of axum do. The layered service returns no errors, so a router of axum
    /// accepts the layer: `Router::new().route("/", get(handler)).layer(functions.into_layer()?)`.
    ///
    /// # Errors
    /// [`InvalidFunctions`] says which functions do not fit together.
    pub fn into_layer<B, R>(self) -> Result<FunctionsLayer<B, R>, InvalidFunctions> {
        self.check().map(|()| FunctionsLayer::new(self))
    }
}

impl<B, R> FunctionsLayer<B, R> {
    fn new(functions: Functions) -> Self {
        Self { functions, bodies: PhantomData }
    }
}

impl<S, B, R> Layer<S> for FunctionsLayer<B, R>
where
    S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Service = FunctionsService<B, R>;

    fn layer(&self, inner: S) -> FunctionsService<B, R> {
        self.functions.wrap(inner)
    }
}

impl<B, R> Clone for FunctionsLayer<B, R> {
    fn clone(&self) -> Self {
        Self::new(self.functions.clone())
    }
}

impl<B, R> fmt::Debug for FunctionsLayer<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FunctionsLayer").field(&self.functions).finish()
    }
}
