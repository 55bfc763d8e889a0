use std::io;

use equipoise_proxy::server::{Accepted, Listener, Server};
use tokio::net::{TcpListener, TcpStream};

use crate::{LONG, answers, bind, exchange, long};

/// A listener that fails at first.
struct Failing {
    errors: Vec<io::Error>,
    listener: TcpListener,
}

impl Listener for Failing {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        match self.errors.pop() {
            Some(error) => Err(error),
            None => Listener::accept(&mut self.listener).await,
        }
    }
}

#[tokio::test]
async fn errors_of_the_listener_do_not_end_it() {
    const EMFILE: i32 = 24;
    let listener = bind().await;
    let address = listener.local_addr().expect("bound");
    let errors =
        vec![io::ErrorKind::ConnectionAborted.into(), io::Error::from_raw_os_error(EMFILE), io::Error::other("none")];
    let server = Server::with_limits(answers(), long());
    let accepting = tokio::spawn(server.clone().serve(Failing { errors, listener }));
    let mut client = TcpStream::connect(address).await.expect("the operating system accepts");
    assert!(exchange(&mut client).await.starts_with("http/1.1 200"));
    let stats = server.stats();
    assert_eq!((stats.accept_errors, stats.accepted), (3, 1));
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_always_fails_is_asked_once_a_second() {
    struct Broken;

    impl Listener for Broken {
        type Io = TcpStream;

        async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
            Err(io::Error::other("broken"))
        }
    }

    let server = Server::with_limits(answers(), long());
    let accepting = tokio::spawn(server.clone().serve(Broken));
    tokio::time::sleep(LONG).await;
    // 10, 20, … 640 ms, and then each second.
    assert_eq!(server.stats().accept_errors, 66);
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
}
