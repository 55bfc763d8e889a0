use std::{io, net::TcpListener as StdListener, sync::mpsc, thread::JoinHandle};

use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};
use tower_service::Service;

use super::serve::Server;

/// Threads that each serve one listener, with a tokio runtime of their own. See [`Server::serve_threads`].
#[derive(Debug)]
#[must_use = "the threads end when this value is dropped"]
pub struct Threads {
    threads: Vec<JoinHandle<()>>,
    /// Dropped to end the threads.
    running: watch::Sender<()>,
}

impl Threads {
    /// Ends the threads, and waits until they have ended. What still runs in them is aborted: listeners, connections
    /// and tunnels. So first wait for [`Server::shutdown`], and for [`Tunnels::closed`](crate::Tunnels::closed). It
    /// blocks the calling thread for a moment.
    pub fn join(self) {
        drop(self.running);
        for thread in self.threads {
            // Tasks that panic do not end their thread, and nothing else in it can panic.
            let _ = thread.join();
        }
    }
}

impl<S, B> Server<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<BoxError>, Future: Send + 'static>,
    S: Clone + Send + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// Serves each listener in a thread of its own, until [`shutdown`](Server::shutdown) begins. Each thread has a
    /// single-threaded tokio runtime: a client's connection and the calls of the service for it stay in one thread. All
    /// threads share the limits of this server.
    ///
    /// Use it with one listener for each CPU core, all with one address: [`bind_shared`](crate::listen::bind_shared). A runtime
    /// with several threads distributes work better if requests need much CPU time, or if there are few connections.
    ///
    /// ```
    /// use std::{convert::Infallible, time::Duration};
    /// use equipoise_proxy::{listen::bind_shared, server::Server};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let service = tower::service_fn(async |_: http::Request<hyper::body::Incoming>| {
    ///     Ok::<_, Infallible>(http::Response::new(String::from("ok")))
    /// });
    /// let server = Server::new(service);
    /// let cores = std::thread::available_parallelism()?.get();
    /// let threads = server.serve_threads(bind_shared("127.0.0.1:0".parse().unwrap(), cores)?)?;
    /// // When the process is asked to end:
    /// server.shutdown(Duration::from_secs(10)).await;
    /// threads.join();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The operating system's error if a thread or a runtime cannot be created, or a listener cannot be used. All
    /// threads have ended then, and the listeners are closed.
    pub fn serve_threads(&self, listeners: impl IntoIterator<Item = StdListener>) -> io::Result<Threads> {
        let running = watch::Sender::new(());
        let mut threads = Threads { threads: Vec::new(), running };
        for listener in listeners {
            if let Err(error) = self.serve_thread(listener, &mut threads) {
                threads.join();
                return Err(error);
            }
        }
        Ok(threads)
    }

    /// Returns when the thread accepts connections.
    fn serve_thread(&self, listener: StdListener, threads: &mut Threads) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let (server, mut running) = (self.clone(), threads.running.subscribe());
        let (opened, is_open) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("equipoise-server".to_owned()).spawn(move || {
            // Not in the caller's thread: a runtime cannot be dropped in a task, for example after an error.
            let (runtime, listener) = match open(listener) {
                Ok(open) => open,
                Err(error) => return drop(opened.send(Err(error))),
            };
            // A shutdown that begins from now on waits for it.
            let serving = server.serve(listener);
            let _ = opened.send(Ok(()));
            runtime.block_on(async move {
                tokio::spawn(serving);
                // An error means that the threads must end.
                let _ = running.changed().await;
            });
            runtime.shutdown_background();
        })?;
        threads.threads.push(thread);
        is_open.recv().unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))
    }
}

fn open(listener: StdListener) -> io::Result<(Runtime, TcpListener)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        TcpListener::from_std(listener)?
    };
    Ok((runtime, listener))
}
