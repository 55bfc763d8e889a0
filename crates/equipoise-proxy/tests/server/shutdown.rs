use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::pin,
    sync::{Arc, mpsc},
    task::Poll,
};

use equipoise_proxy::{
    listen::{Accepted, Established, Listener},
    server::Server,
};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
};
use tower::service_fn;

use crate::{GET, LONG, SHORT, answers, bind, exchange, get, long, response, rest, start};

/// A service that tells when a request begins, and waits for the permission to answer it.
macro_rules! held {
    ($begun:expr, $may_answer:expr) => {{
        let (begun, may_answer) = (Arc::clone(&$begun), Arc::clone(&$may_answer));
        service_fn(move |_: Request<Incoming>| {
            let (begun, may_answer) = (Arc::clone(&begun), Arc::clone(&may_answer));
            async move {
                begun.add_permits(1);
                may_answer.acquire().await.expect("not closed").forget();
                Ok::<_, Infallible>($crate::ok())
            }
        })
    }};
}

pub(crate) use held;

pub(crate) fn semaphores() -> (Arc<Semaphore>, Arc<Semaphore>) {
    (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)))
}

#[tokio::test]
async fn requests_in_flight_are_finished() {
    let (begun, may_answer) = semaphores();
    let running = start!(held!(begun, may_answer), long());
    let mut client = running.connect().await;
    client.write_all(GET).await.expect("open");
    begun.acquire().await.expect("not closed").forget();

    let shutdown = tokio::spawn(running.server.shutdown(LONG));
    running.accepting.await.expect("no panic");
    assert!(TcpStream::connect(running.address).await.is_err(), "the listener is closed");
    assert!(!shutdown.is_finished());
    may_answer.add_permits(1);
    let head = response(&mut client).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close\r\n"), "{head}");
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(shutdown.await.expect("no panic"), 0);
    assert_eq!(running.server.stats().open, 0);
}

#[tokio::test]
async fn requests_that_do_not_end_are_aborted_at_the_deadline() {
    let (begun, may_answer) = semaphores();
    let running = start!(held!(begun, may_answer), long());
    let mut first = running.connect().await;
    first.write_all(GET).await.expect("open");
    let mut second = running.http2(65_535).await;
    let stuck = tokio::spawn(async move { second.send_request(get()).await });
    begun.acquire_many(2).await.expect("not closed").forget();
    assert_eq!(running.server.shutdown(SHORT).await, 2);
    assert_eq!(first.read(&mut [0; 8]).await.expect("closed"), 0);
    assert!(stuck.await.expect("no panic").is_err());
    let stats = running.server.stats();
    assert_eq!((stats.aborted, stats.open), (2, 0));
    // Nothing runs any more for the aborted requests.
    assert_eq!(Arc::strong_count(&may_answer), 2, "the service and the test");
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_served() {
    let running = start!(answers(), long());
    // Let the server wait for connections. The blocking connections are then open before it accepts them.
    running.connect().await;
    let clients = [(); 3].map(|()| std::net::TcpStream::connect(running.address).expect("the server listens"));
    assert_eq!(running.server.shutdown(LONG).await, 0);
    for mut client in clients {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut client, &mut bytes).expect("closed, not reset");
    }
    assert_eq!(running.server.stats().accepted, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_waits_for_a_listener_that_is_being_closed() {
    /// A listener that accepts only when it is closed, and waits for the permission to be closed.
    struct Closing {
        listener: TcpListener,
        begun: Arc<Semaphore>,
        may_close: Option<mpsc::Receiver<()>>,
    }

    impl Listener for Closing {
        type Io = TcpStream;

        async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
            std::future::pending().await
        }

        fn accept_waiting(&mut self) -> io::Result<Option<Accepted<TcpStream>>> {
            if let Some(may_close) = self.may_close.take() {
                self.begun.add_permits(1);
                may_close.recv().expect("a permission");
            }
            self.listener.accept_waiting()
        }
    }

    let (begun, (close, may_close)) = (Arc::new(Semaphore::new(0)), mpsc::channel());
    let listener = bind().await;
    let address = listener.local_addr().expect("bound");
    let server = Server::with_limits(answers(), long());
    let accepting =
        tokio::spawn(server.clone().serve(Closing { listener, begun: Arc::clone(&begun), may_close: Some(may_close) }));
    let mut client = TcpStream::connect(address).await.expect("the operating system accepts");
    client.write_all(GET).await.expect("open");

    let mut shutdown = pin!(server.shutdown(LONG));
    assert!(poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_pending())).await, "it begins");
    begun.acquire().await.expect("not closed").forget();
    let is_pending = poll_fn(|cx| Poll::Ready(shutdown.as_mut().poll(cx).is_pending())).await;
    close.send(()).expect("it waits");
    assert!(is_pending, "a connection is not served yet");
    assert!(response(&mut client).await.starts_with("http/1.1 200"));
    drop(client);
    assert_eq!(shutdown.await, 0);
    accepting.await.expect("no panic");
}

/// A listener that tells when it begins to accept a connection, and when it has accepted it.
struct Tells {
    listener: TcpListener,
    steps: Arc<Semaphore>,
}

impl Listener for Tells {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        self.steps.add_permits(1);
        let accepted = Listener::accept(&mut self.listener).await;
        self.steps.add_permits(1);
        accepted
    }
}

/// Two connections of a server with place for one: a request of the first one is in flight, and the second one was
/// accepted and waits. The service waits for `may_answer`.
macro_rules! one_waits {
    ($server:ident, $accepting:ident, $first:ident, $second:ident, $begun:ident, $may_answer:ident) => {
        let ($begun, $may_answer) = semaphores();
        let $server = Server::with_limits(held!($begun, $may_answer), long().max_connections(1));
        let (listener, steps) = (bind().await, Arc::new(Semaphore::new(0)));
        let address = listener.local_addr().expect("bound");
        let $accepting: JoinHandle<()> =
            tokio::spawn($server.clone().serve(Tells { listener, steps: Arc::clone(&steps) }));
        steps.acquire().await.expect("not closed").forget();
        // The place was free when the listener began to accept, and is taken now.
        let (mut $first, stream) = tokio::io::duplex(1024);
        tokio::spawn($server.serve_connection(Established::new(stream).into()));
        $first.write_all(GET).await.expect("open");
        $begun.acquire().await.expect("not closed").forget();
        let mut $second = TcpStream::connect(address).await.expect("the operating system accepts");
        $second.write_all(GET).await.expect("open");
        steps.acquire().await.expect("not closed").forget();
    };
}

#[tokio::test]
async fn an_accepted_connection_that_waits_at_the_limit_is_served() {
    one_waits!(server, accepting, first, second, begun, may_answer);
    assert_eq!(server.stats().accepted, 1);
    let shutdown = tokio::spawn(server.shutdown(LONG));
    accepting.await.expect("no panic");
    // It does not wait for the end of the first one.
    begun.acquire().await.expect("not closed").forget();
    may_answer.add_permits(2);
    let mut text = Vec::new();
    first.read_to_end(&mut text).await.expect("open");
    assert!(text.starts_with(b"HTTP/1.1 200"));
    drop(first);
    let head = response(&mut second).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close\r\n"), "{head}");
    drop(second);
    assert_eq!(shutdown.await.expect("no panic"), 0);
}

#[tokio::test]
async fn an_accepted_connection_that_waits_at_the_limit_is_aborted_at_the_deadline() {
    one_waits!(server, accepting, first, second, begun, may_answer);
    assert_eq!(server.shutdown(SHORT).await, 2);
    accepting.await.expect("no panic");
    assert_eq!(first.read(&mut [0; 8]).await.expect("closed"), 0);
    assert!(!matches!(second.read(&mut [0; 8]).await, Ok(1..)), "no response");
    assert_eq!(server.stats().open, 0);
    drop((begun, may_answer));
}

#[tokio::test]
async fn a_head_that_has_begun_is_finished() {
    let running = start!(answers(), long());
    let mut client = running.connect().await;
    exchange(&mut client).await;
    let (begin, end) = GET.split_at(10);
    client.write_all(begin).await.expect("open");
    // The server has read it when it has answered another connection, because all run in one thread.
    exchange(&mut running.connect().await).await;
    let shutdown = tokio::spawn(running.server.shutdown(LONG));
    running.accepting.await.expect("no panic");
    client.write_all(end).await.expect("open");
    let head = response(&mut client).await;
    assert!(head.starts_with("http/1.1 200") && head.contains("connection: close\r\n"), "{head}");
    assert_eq!(rest(&mut client).await, "");
    drop(client);
    assert_eq!(shutdown.await.expect("no panic"), 0);
}

#[tokio::test]
async fn a_head_that_does_not_end_gets_408_in_a_shutdown() {
    let running = start!(answers(), long().head_timeout(SHORT));
    let mut client = running.connect().await;
    exchange(&mut client).await;
    client.write_all(b"GET / H").await.expect("open");
    exchange(&mut running.connect().await).await;
    assert_eq!(running.server.shutdown(LONG).await, 0);
    assert!(rest(&mut client).await.starts_with("http/1.1 408 "));
    assert_eq!(running.server.stats().head_timeouts, 1);
}

#[tokio::test]
async fn a_connection_that_was_just_opened_gets_a_response() {
    let running = start!(answers(), long());
    let mut client = running.connect().await;
    let shutdown = tokio::spawn(running.server.shutdown(LONG));
    running.accepting.await.expect("no panic");
    let head = exchange(&mut client).await;
    assert!(head.contains("connection: close\r\n"), "{head}");
    drop(client);
    assert_eq!(shutdown.await.expect("no panic"), 0);
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let running = start!(answers(), long());
    let mut used = running.connect().await;
    exchange(&mut used).await;
    let mut unused = running.connect().await;
    let mut http2 = running.http2(65_535).await;
    http2.send_request(get()).await.expect("a response").into_body().collect().await.expect("a body");
    assert_eq!(running.server.shutdown(LONG).await, 0);
    assert_eq!((rest(&mut used).await, rest(&mut unused).await), (String::new(), String::new()));
    assert!(http2.send_request(get()).await.is_err());
}

#[tokio::test]
async fn requests_in_flight_on_http2_are_finished_and_no_others() {
    let (begun, may_answer) = semaphores();
    let running = start!(held!(begun, may_answer), long());
    let mut client = running.http2(65_535).await;
    let mut other = client.clone();
    let first = tokio::spawn(async move { client.send_request(get()).await });
    begun.acquire().await.expect("not closed").forget();
    let shutdown = tokio::spawn(running.server.shutdown(LONG));
    running.accepting.await.expect("no panic");
    may_answer.add_permits(1);
    assert_eq!(first.await.expect("no panic").expect("a response").status(), 200);
    assert_eq!(shutdown.await.expect("no panic"), 0);
    assert!(other.send_request(get()).await.is_err());
}
