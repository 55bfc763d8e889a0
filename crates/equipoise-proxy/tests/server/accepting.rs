use std::io;

use equipoise_proxy::{
    listen::{Accepted, Established, Listener},
    server::Server,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{GET, LONG, SHORT, answers, bind, exchange, long, response, rest};

const EMFILE: i32 = 24;

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

/// A listener that accepts connections only when it is closed.
struct Late<F>(F);

impl<F: FnMut() -> io::Result<Option<TcpStream>> + Send> Listener for Late<F> {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        std::future::pending().await
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<TcpStream>>> {
        Ok((self.0)()?.map(|io| Established::new(io).into()))
    }
}

/// Accepts a connection of a client that has sent a request.
async fn waiting() -> (TcpStream, TcpStream) {
    let listener = bind().await;
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
    client.write_all(GET).await.expect("open");
    (client, listener.accept().await.expect("a connection").0)
}

#[tokio::test]
async fn a_connection_that_was_given_up_does_not_hide_those_behind_it() {
    let (mut client, stream) = waiting().await;
    let mut results = vec![Ok(Some(stream)), Err(io::ErrorKind::Interrupted), Err(io::ErrorKind::ConnectionAborted)];
    let listener = Late(move || results.pop().unwrap_or(Ok(None)).map_err(io::Error::from));
    let server = Server::with_limits(answers(), long());
    let accepting = tokio::spawn(server.clone().serve(listener));
    let response = tokio::spawn(async move { rest(&mut client).await });
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
    assert!(response.await.expect("not reset").starts_with("http/1.1 200"));
    assert_eq!(server.stats().accept_errors, 2);
}

#[tokio::test]
async fn connections_that_wait_for_an_open_file_are_served_in_a_shutdown() {
    let (mut client, stream) = waiting().await;
    let server = Server::with_limits(answers(), long());
    let (mut idle, idle_stream) = waiting().await;
    let serving = tokio::spawn(server.serve_connection(Established::new(idle_stream).into()));
    response(&mut idle).await;
    let (stats, mut stream) = (server.clone(), Some(stream));
    // The idle connection has the last file.
    let listener = Late(move || match stats.stats().open {
        0 => Ok(stream.take()),
        _ if stream.is_some() => Err(io::Error::from_raw_os_error(EMFILE)),
        _ => Ok(None),
    });
    let accepting = tokio::spawn(server.clone().serve(listener));
    let response = tokio::spawn(async move { rest(&mut client).await });
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
    serving.await.expect("no panic");
    assert!(response.await.expect("not reset").starts_with("http/1.1 200"));
}

#[tokio::test]
async fn a_listener_without_files_is_closed_at_the_deadline() {
    let server = Server::with_limits(answers(), long());
    let listener = Late(|| Err(io::Error::from_raw_os_error(EMFILE)));
    let accepting = tokio::spawn(server.clone().serve(listener));
    assert_eq!(server.shutdown(SHORT).await, 0);
    accepting.await.expect("no panic");
}

#[tokio::test]
async fn clients_that_connect_without_end_do_not_keep_a_listener_open() {
    let server = Server::with_limits(answers(), long());
    let accepting = tokio::spawn(server.clone().serve(Late(|| Err(io::ErrorKind::ConnectionAborted.into()))));
    assert_eq!(server.shutdown(LONG).await, 0);
    accepting.await.expect("no panic");
    assert_eq!(server.stats().accept_errors, 4096);
}
