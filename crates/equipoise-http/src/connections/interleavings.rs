//! Random sequences of the events that change the connections of an endpoint: requests begin, end and are given up,
//! attempts to connect succeed, fail and panic, connections close. After each event, the limits hold, and no request waits
//! although something is free.
//!
//! The queue is one structure under a lock, so loom, which reorders single instructions, would add nothing to it. What is
//! outside the lock, the fences of [`Slots`](super::slots::Slots), is used by several threads in
//! `tests/sockets/stress.rs`.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use proptest::prelude::*;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::oneshot,
};

use super::{
    owner::Owner,
    pool::{Connection, Connections, Demand},
    queue::Lane,
    slots::Want,
};
use crate::{
    connect::{Resolve, ResolveFuture},
    error::Error,
    origin::Origin,
    settings::Settings,
};

const MAX_CONNECTIONS: usize = 3;
const MAX_IDLE: usize = 2;

/// An event. The numbers choose among the requests or connections that there are.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begin,
    GiveUp(usize),
    /// Polls the requests that wait, beginning with this one.
    Poll(usize),
    /// Ends a request. Its connection can be used again.
    End(usize),
    /// Ends a request. Its connection is closed.
    Break(usize),
    Connect(Attempt),
    /// The server closes a connection.
    Leave(usize),
    CloseAll,
}

#[derive(Clone, Copy, Debug)]
enum Attempt {
    Succeeds,
    Fails,
    Panics,
}

fn event() -> impl Strategy<Value = Event> {
    let at = || 0..16_usize;
    prop_oneof![
        8 => Just(Event::Begin),
        3 => at().prop_map(Event::GiveUp),
        4 => at().prop_map(Event::Poll),
        4 => at().prop_map(Event::End),
        2 => at().prop_map(Event::Break),
        6 => Just(Event::Connect(Attempt::Succeeds)),
        2 => Just(Event::Connect(Attempt::Fails)),
        1 => Just(Event::Connect(Attempt::Panics)),
        1 => at().prop_map(Event::Leave),
        1 => Just(Event::CloseAll),
    ]
}

/// The attempts to connect that have begun. Each waits until it is told how it ends.
#[derive(Clone, Debug)]
struct Attempts(SocketAddr, Arc<Mutex<VecDeque<oneshot::Sender<Attempt>>>>);

impl Resolve for Attempts {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
        let (sender, receiver) = oneshot::channel();
        self.1.lock().push_back(sender);
        Box::pin(async move {
            match receiver.await {
                Ok(Attempt::Succeeds) => Ok(vec![self.0]),
                Ok(Attempt::Panics) => std::panic::resume_unwind(Box::new("without a message")),
                Ok(Attempt::Fails) | Err(_) => Err("as the test says".into()),
            }
        })
    }
}

/// The lane of all requests.
fn lane() -> Lane {
    Lane { want: Want::Any, owner: Owner::runtime(Handle::current().id()) }
}

type Request = Pin<Box<dyn Future<Output = Result<Connection, Error>>>>;

/// An endpoint, and what requests have of it.
struct World {
    connections: Arc<Connections>,
    attempts: Attempts,
    accepted: Arc<Mutex<Vec<TcpStream>>>,
    waiting: Vec<Request>,
    used: Vec<Connection>,
}

/// Starts a server. Returns its address, and the connections that it has accepted, unless it serves them.
async fn server(is_http2: bool) -> (SocketAddr, Arc<Mutex<Vec<TcpStream>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let accepted: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let all = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[cfg(feature = "http2")]
            if is_http2 {
                let service = hyper::service::service_fn(|_| async { Err::<http::Response<String>, _>("no response") });
                let builder = hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new());
                tokio::spawn(builder.serve_connection(hyper_util::rt::TokioIo::new(stream), service));
                continue;
            }
            all.lock().push(stream);
        }
    });
    let _ = is_http2;
    (address, accepted)
}

impl World {
    async fn new(is_http2: bool) -> Self {
        let (address, accepted) = server(is_http2).await;
        let attempts = Attempts(address, Arc::default());
        let settings = Settings::new().max_connections(MAX_CONNECTIONS).max_idle(MAX_IDLE).resolver(attempts.clone());
        #[cfg(feature = "http2")]
        let settings = if is_http2 { settings.version(crate::Version::Http2).max_streams(2) } else { settings };
        let connections = Connections::new(Origin::parse("orders.test:80").expect("an address"), settings);
        Self { connections, attempts, accepted, waiting: Vec::new(), used: Vec::new() }
    }

    fn happen(&mut self, event: Event) {
        fn at<T>(all: &mut Vec<T>, at: usize) -> Option<T> {
            (!all.is_empty()).then(|| all.swap_remove(at % all.len()))
        }
        match event {
            Event::Begin => {
                let connections = Arc::clone(&self.connections);
                let demand = Demand { is_checked: true, is_http1: false, is_again: false, client: None };
                let mut waited = Duration::ZERO;
                self.waiting.push(Box::pin(async move { connections.connection(demand, &mut waited).await }));
                self.poll(self.waiting.len() - 1);
            }
            Event::GiveUp(request) => drop(at(&mut self.waiting, request)),
            Event::Poll(first) => {
                let all = self.waiting.len();
                self.waiting.rotate_left(first.checked_rem(all).unwrap_or(0));
                (0..all).rev().for_each(|request| self.poll(request));
            }
            Event::End(request) => match at(&mut self.used, request) {
                Some(Connection::Http1(connection)) => self.connections.after_response(connection),
                other => drop(other),
            },
            Event::Break(request) => drop(at(&mut self.used, request)),
            Event::Connect(attempt) => {
                let next = self.attempts.1.lock().pop_front();
                next.map(|next| next.send(attempt));
            }
            Event::Leave(connection) => drop(at(&mut self.accepted.lock(), connection)),
            Event::CloseAll => self.connections.close(),
        }
    }

    /// Polls a request. If it gets a connection, it uses it.
    fn poll(&mut self, request: usize) {
        if let Poll::Ready(got) = self.waiting[request].as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            drop(self.waiting.swap_remove(request));
            self.used.extend(got);
        }
    }

    /// Returns why a request should not wait any more.
    fn missed(&self) -> Option<&'static str> {
        let connections = &self.connections;
        let status = connections.status();
        assert!(status.open <= MAX_CONNECTIONS && connections.idle.len() <= MAX_IDLE, "{status:?}");
        if status.waiting == 0 {
            return None;
        }
        if connections.speaks_http1() && connections.idle.len() > 0 {
            return Some("a connection is idle");
        }
        #[cfg(feature = "http2")]
        if connections.http2.has_room(&lane().owner) {
            return Some("a stream is free");
        }
        #[cfg(feature = "http2")]
        if connections.http2.is_paused(&lane().owner) {
            return None;
        }
        let each = connections.served_by_one(Want::Any);
        let needs = connections.queue.lock().uncovered(&lane(), each) > 0;
        (needs && status.open < MAX_CONNECTIONS).then_some("a connection can be opened")
    }

    /// Lets the tasks of the connections run until no request misses anything. The test fails if that never happens.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
            self.missed();
        }
        for _ in 0..100_000 {
            if self.missed().is_none() {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("a request waits although {}: {:?}", self.missed().unwrap_or_default(), self.connections.status());
    }

    /// Lets all requests end. Each gets a connection.
    async fn finish(&mut self) {
        for _ in 0..100_000 {
            if self.waiting.is_empty() {
                break;
            }
            self.happen(Event::Connect(Attempt::Succeeds));
            self.happen(Event::End(0));
            self.happen(Event::Poll(0));
            // A pause after a failed attempt is over.
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(self.waiting.is_empty(), "a request waits for ever: {:?}", self.connections.status());
        self.used.clear();
        while self.connections.slots.open() > self.connections.idle.len() + self.http2_connections() {
            self.happen(Event::Connect(Attempt::Succeeds));
            tokio::task::yield_now().await;
        }
        assert_eq!(self.connections.queue.lock().opening(&lane()), 0);
    }

    fn http2_connections(&self) -> usize {
        #[cfg(feature = "http2")]
        return self.connections.http2.len();
        #[cfg(not(feature = "http2"))]
        0
    }
}

fn check(is_http2: bool, events: &[Event]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::new(is_http2).await;
        for event in events {
            world.happen(*event);
            world.settle().await;
        }
        world.finish().await;
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_request_waits_for_a_free_http1_connection(events in prop::collection::vec(event(), 1..80)) {
        check(false, &events);
    }

    #[cfg(feature = "http2")]
    #[test]
    fn no_request_waits_for_a_free_http2_stream(events in prop::collection::vec(event(), 1..80)) {
        check(true, &events);
    }
}
