use std::{collections::HashSet, convert::Infallible, sync::Arc};

use bytes::Bytes;
use equipoise_proxy::{listen::bind_shared, server::Server};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tower::service_fn;

use crate::{
    GET, LONG, answers, long, response, rest,
    shutdown::{held, semaphores},
};

#[tokio::test]
async fn listeners_in_several_threads_share_a_port_and_all_serve() {
    const THREADS: usize = 3;
    let names_its_thread = service_fn(async |_: Request<Incoming>| {
        let thread = format!("{:?}", std::thread::current().id());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(thread)))
    });
    let server = Server::with_limits(names_its_thread, long());
    let listeners = bind_shared("127.0.0.1:0".parse().expect("an address"), THREADS).expect("a free port");
    let address = listeners[0].local_addr().expect("bound");
    assert!(listeners.iter().all(|listener| listener.local_addr().is_ok_and(|other| other == address)));
    let threads = server.serve_threads(listeners).expect("threads");

    // The operating system chooses by a hash of the client's port. That 200 connections miss one of three listeners
    // happens once in 10^35 times.
    let mut seen = HashSet::new();
    for _ in 0..200 {
        let mut client = TcpStream::connect(address).await.expect("the server listens");
        client.write_all(b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n").await.expect("open");
        let response = rest(&mut client).await;
        seen.insert(response.rsplit("\r\n").next().expect("a body").to_owned());
        if seen.len() == THREADS {
            break;
        }
    }
    assert_eq!(seen.len(), THREADS, "{seen:?}");
    assert_eq!(server.shutdown(LONG).await, 0);
    threads.join();
    assert!(TcpStream::connect(address).await.is_err(), "all listeners are closed");
}

#[tokio::test]
async fn threads_finish_their_requests_before_they_end() {
    let (begun, may_answer) = semaphores();
    let server = Server::with_limits(held!(begun, may_answer), long());
    let listeners = bind_shared("127.0.0.1:0".parse().expect("an address"), 1).expect("a free port");
    let address = listeners[0].local_addr().expect("bound");
    let threads = server.serve_threads(listeners).expect("threads");
    let mut client = TcpStream::connect(address).await.expect("the server listens");
    client.write_all(GET).await.expect("open");
    begun.acquire().await.expect("not closed").forget();
    let shutdown = tokio::spawn(server.shutdown(LONG));
    may_answer.add_permits(1);
    assert!(response(&mut client).await.starts_with("http/1.1 200"));
    drop(client);
    assert_eq!(shutdown.await.expect("no panic"), 0);
    threads.join();
}

#[tokio::test]
async fn threads_that_are_dropped_end() {
    let server = Server::with_limits(answers(), long());
    let listeners = bind_shared("127.0.0.1:0".parse().expect("an address"), 1).expect("a free port");
    let address = listeners[0].local_addr().expect("bound");
    server.serve_threads(listeners).expect("threads").join();
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_thread_runs_if_a_listener_cannot_be_used() {
    let server = Server::with_limits(answers(), long());
    let mut listeners = bind_shared("127.0.0.1:0".parse().expect("an address"), 1).expect("a free port");
    let address = listeners[0].local_addr().expect("bound");
    // Linux cannot wait for a file.
    let file = std::fs::File::open(std::env::current_exe().expect("a test")).expect("a file");
    listeners.push(std::os::fd::OwnedFd::from(file).into());
    let error = server.serve_threads(listeners).expect_err("a file is not a listener");
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(TcpStream::connect(address).await.is_err(), "the other listener is closed");
}

#[tokio::test]
async fn a_shutdown_waits_for_threads_that_have_just_begun() {
    for _ in 0..20 {
        let server = Server::with_limits(answers(), long());
        let listeners = bind_shared("127.0.0.1:0".parse().expect("an address"), 1).expect("a free port");
        let address = listeners[0].local_addr().expect("bound");
        let mut client = TcpStream::connect(address).await.expect("the operating system accepts");
        client.write_all(GET).await.expect("open");
        let response = tokio::spawn(async move { rest(&mut client).await });
        let threads = server.serve_threads(listeners).expect("threads");
        assert_eq!(server.shutdown(LONG).await, 0);
        threads.join();
        assert!(response.await.expect("not reset").starts_with("http/1.1 200"));
    }
}
