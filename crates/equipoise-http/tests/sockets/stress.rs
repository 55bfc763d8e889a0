//! Many tasks that share few connections. Each request that is not given up gets a response, and the limits hold.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use equipoise_http::{Settings, Upstream};
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::server::{get, send};

const TASKS: u64 = 48;
const REQUESTS: u64 = 40;
const MAX_CONNECTIONS: usize = 4;
const MAX_IDLE: usize = 3;

/// A sequence of numbers that depends only on its seed (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Starts a server. With HTTP/1.1, it closes each eleventh connection after its response.
async fn server(is_http2: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let requests = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let requests = Arc::clone(&requests);
            let service = service_fn(move |_: Request<Incoming>| {
                let number = requests.fetch_add(1, Ordering::Relaxed);
                async move {
                    tokio::task::yield_now().await;
                    let response = Response::builder();
                    let closes = !is_http2 && number.is_multiple_of(11);
                    let response = if closes { response.header("connection", "close") } else { response };
                    let body = Bytes::from(vec![b'x'; (number % 5 * 1000) as usize]);
                    Ok::<_, Infallible>(response.body(Full::new(body)).expect("a valid response"))
                }
            });
            let stream = TokioIo::new(stream);
            #[cfg(feature = "http2")]
            if is_http2 {
                let executor = hyper_util::rt::TokioExecutor::new();
                let mut builder = hyper::server::conn::http2::Builder::new(executor);
                builder.max_concurrent_streams(3);
                tokio::spawn(builder.serve_connection(stream, service));
                continue;
            }
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
        }
    });
    address
}

/// Sends requests one after the other. About a quarter of them is given up, after a random number of polls.
async fn client(upstream: Upstream, max_idle: usize, seed: u64) {
    let mut numbers = Numbers(seed);
    for _ in 0..REQUESTS {
        let mut request = Box::pin(send(&upstream, get("/")));
        let polls = if numbers.below(4) == 0 { numbers.below(6) } else { u64::MAX };
        let mut polled = 0;
        let response = std::future::poll_fn(|cx| {
            if polled == polls {
                return std::task::Poll::Ready(None);
            }
            polled += 1;
            if polls < u64::MAX {
                // It may be polled without an event.
                cx.waker().wake_by_ref();
            }
            request.as_mut().poll(cx).map(Some)
        });
        if let Some(response) = response.await {
            assert_eq!(response.expect("a response").status(), 200, "seed {seed}");
        }
        drop(request);
        let status = upstream.status();
        assert!(status.open <= MAX_CONNECTIONS && status.idle <= max_idle, "seed {seed}: {status:?}");
        assert!(status.waiting < TASKS as usize, "seed {seed}: {status:?}");
    }
}

async fn stress(is_http2: bool) {
    let settings = Settings::new().max_connections(MAX_CONNECTIONS).max_idle(MAX_IDLE).max_requests(50);
    // A request that is forgotten in the queue fails. Nothing looks at the queue periodically.
    let settings = settings.wait_timeout(Duration::from_secs(30));
    #[cfg(feature = "http2")]
    let settings = if is_http2 { settings.version(equipoise_http::Version::Http2) } else { settings };
    let upstream = Upstream::with_settings(&server(is_http2).await, &settings).expect("a valid address");
    let max_idle = if is_http2 { MAX_CONNECTIONS } else { MAX_IDLE };
    let clients: Vec<_> = (0..TASKS).map(|seed| tokio::spawn(client(upstream.clone(), max_idle, seed))).collect();
    for client in clients {
        client.await.expect("no failed assertion");
    }
    assert_eq!(upstream.status().waiting, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_served_over_few_http1_connections() {
    stress(false).await;
}

#[cfg(feature = "http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_is_served_over_few_http2_connections() {
    stress(true).await;
}
