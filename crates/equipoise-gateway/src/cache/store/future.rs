use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// The future of an operation of a [`Store`](super::Store): a value at once, or a boxed future.
///
/// A store in memory is always ready, and a lookup in it allocates no future.
///
/// ```
/// use equipoise_gateway::cache::store::StoreFuture;
///
/// assert_eq!(StoreFuture::ready(3).into_ready().expect("a value"), 3);
/// assert!(StoreFuture::boxed(async { 3 }).into_ready().is_err());
/// ```
pub struct StoreFuture<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    Ready(Option<T>),
    Pending(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<'a, T> StoreFuture<'a, T> {
    /// Creates a future that is ready.
    pub fn ready(value: T) -> Self {
        Self(Inner::Ready(Some(value)))
    }

    /// Boxes a future.
    pub fn boxed(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Inner::Pending(Box::pin(future)))
    }

    /// Returns the value if it is ready without being polled.
    ///
    /// # Errors
    ///
    /// Returns the future itself if it is a boxed one, or if it has been polled to its end.
    pub fn into_ready(self) -> Result<T, Self> {
        match self.0 {
            Inner::Ready(Some(value)) => Ok(value),
            other => Err(Self(other)),
        }
    }
}

// The value is never pinned: it is moved out by the first poll.
impl<T> Unpin for StoreFuture<'_, T> {}

impl<T> Future for StoreFuture<'_, T> {
    type Output = T;

    /// Returns the value. After the value was returned, it stays pending: it must not be polled again.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        match &mut this.0 {
            Inner::Ready(value) => value.take().map_or(Poll::Pending, Poll::Ready),
            Inner::Pending(future) => {
                let value = ready!(future.as_mut().poll(context));
                this.0 = Inner::Ready(None);
                Poll::Ready(value)
            }
        }
    }
}

impl<T> fmt::Debug for StoreFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            Inner::Ready(Some(_)) => "ready",
            Inner::Ready(None) => "done",
            Inner::Pending(_) => "pending",
        };
        f.debug_tuple("StoreFuture").field(&state).finish()
    }
}
