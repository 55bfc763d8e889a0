use std::{convert::Infallible, fmt, io, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, request::Parts};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
};

use crate::Reserved;

/// The response of a [`Backend`].
pub type Answer = Response<BoxBody<Bytes, io::Error>>;

/// A complete request that a [`Backend`] has received.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The URI; in HTTP/1, the path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Seen {
    /// Returns the value of a header, if it exists and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An HTTP server on its own loopback port.
pub struct Backend {
    port: Reserved,
    shared: Arc<Shared>,
    running: Option<Running>,
}

struct Shared {
    answer: Box<dyn Fn(&Seen) -> Answer + Send + Sync>,
    seen: watch::Sender<Vec<Seen>>,
}

struct Running {
    /// The server ends when this is sent or dropped.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Starts a server that answers every request with `text`.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn start(text: &'static str) -> io::Result<Self> {
        Self::answering(move |_| Response::new(body(text)))
    }

    /// Starts a server that answers each request with the result of `answer`.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn answering(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared { answer: Box::new(answer), seen: watch::Sender::default() });
        let mut backend = Self { port: Reserved::new()?, shared, running: None };
        backend.restart()?;
        Ok(backend)
    }

    /// Returns the address of the server, also after it has stopped.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Returns the complete requests that have arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.borrow().clone()
    }

    /// Returns the number of complete requests that have arrived so far.
    pub fn served(&self) -> usize {
        self.shared.seen.borrow().len()
    }

    /// Waits until at least this number of requests has arrived.
    pub async fn has_served(&self, requests: usize) {
        // The sender lives as long as `self`.
        let _ = self.shared.seen.subscribe().wait_for(|seen| seen.len() >= requests).await;
    }

    /// Stops like a killed process: the port and all connections are closed at once, with the requests in flight.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            // The server ends in either case.
            let _ = running.stop.send(());
            let _ = running.task.await;
        }
    }

    /// Starts the server again on the same port.
    ///
    /// # Errors
    ///
    /// The server is running already.
    pub fn restart(&mut self) -> io::Result<()> {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(self.port.listen()?, Arc::clone(&self.shared), stopped));
        self.running = Some(Running { stop, task });
        Ok(())
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("address", &self.address()).finish_non_exhaustive()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| Arc::clone(&shared).respond(request));
                    // A failed connection only affects its client.
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

impl Shared {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Infallible> {
        let (Parts { method, uri, headers, .. }, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            // The client has closed the connection, so this response is never read.
            return Ok(Response::new(self::body("")));
        };
        let seen = Seen { method, uri, headers, body: body.to_bytes() };
        self.seen.send_modify(|all| all.push(seen.clone()));
        Ok((self.answer)(&seen))
    }
}

/// A body that is available at once.
fn body(text: &'static str) -> BoxBody<Bytes, io::Error> {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed()
}
