//! A proxy, the servers behind it, and clients that write raw bytes.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::Request};
use equipoise_http::{Resolve, ResolveFuture};
use equipoise_proxy::{
    forward::{ForwardProxy, ForwardSettings, Rule, Rules},
    server::{Server, ServerLimits},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

/// Resolves the names of a test. Each resolution of a name takes the next of its answers, and the last one stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    answers: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    pub(crate) fn name(self, name: &str, answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().expect("an address")).collect();
        self.answers.lock().insert(name.to_owned(), answers.iter().map(parse).collect());
        self
    }

    /// The number of resolutions so far.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> ResolveFuture<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers.lock().get_mut(host).map(|answers| match &answers[..] {
            [last] => last.clone(),
            _ => answers.remove(0),
        });
        Box::pin(async move {
            match answer {
                Some(answer) => Ok(answer.into_iter().map(|address| SocketAddr::new(address, port)).collect()),
                None if host == "silent.test" => std::future::pending().await,
                None => Err(format!("no such host: {host}").into()),
            }
        })
    }
}

/// The name of all servers, and another one.
pub(crate) fn names() -> Names {
    Names::default().name("app.test", &[&["127.0.0.1"]]).name("other.test", &[&["127.0.0.1"]])
}

/// Allows all ports of `127.0.0.1`.
pub(crate) fn local() -> Rule {
    Rule::allow().network("127.0.0.1").expect("an address").ports(1..=65535)
}

pub(crate) struct Proxy {
    pub(crate) proxy: ForwardProxy,
    pub(crate) server: Server<ForwardProxy>,
    pub(crate) address: SocketAddr,
}

impl Proxy {
    /// Starts a proxy that allows connections to this machine.
    pub(crate) async fn local() -> Self {
        Self::start([local()], ForwardSettings::new().resolver(names())).await
    }

    pub(crate) async fn start(rules: impl Into<Rules>, settings: ForwardSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let proxy = ForwardProxy::with_settings(rules, settings);
        let limits = ServerLimits::new().head_timeout(LONG).body_timeout(LONG).keep_alive_timeout(LONG);
        let server = Server::with_limits(proxy.clone(), limits);
        tokio::spawn(server.clone().serve(listener));
        Self { proxy, server, address }
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the proxy listens")
    }

    /// Sends a request and reads the response until the connection is closed.
    pub(crate) async fn send(&self, request: &str) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("open");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("closed");
        Reply::parse(&String::from_utf8(bytes).expect("text"))
    }

    /// Sends a request without a body for a URL. `fields` end with line ends.
    pub(crate) async fn get(&self, url: &str, fields: &str) -> Reply {
        self.send(&format!("GET {url} HTTP/1.1\r\nhost: x\r\nconnection: close\r\naccept: text/plain\r\n{fields}\r\n"))
            .await
    }

    /// Asks for a tunnel. Returns it if it was opened.
    pub(crate) async fn tunnel(&self, target: &str, fields: &str) -> Result<TcpStream, Reply> {
        let mut stream = self.connect().await;
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\naccept: text/plain\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.expect("open");
        opened(stream).await
    }

    /// The response to a request for a tunnel that is not opened.
    pub(crate) async fn refused(&self, target: &str, fields: &str) -> Reply {
        self.tunnel(target, fields).await.expect_err("no tunnel")
    }
}

/// Reads the response to `CONNECT`.
pub(crate) async fn opened(mut stream: TcpStream) -> Result<TcpStream, Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a response"));
    }
    let text = String::from_utf8(head).expect("text");
    let mut reply = Reply::parse(&text);
    if reply.status == 200 {
        return Ok(stream);
    }
    let length = reply.field("content-length").expect("a length").parse().expect("a number");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    reply.body = String::from_utf8(body).expect("text");
    Err(reply)
}

/// Sends bytes through a tunnel to a server that sends them back.
pub(crate) async fn echoes(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("open");
    let mut bytes = vec![0; text.len()];
    stream.read_exact(&mut bytes).await.expect("open");
    assert_eq!(bytes, text.as_bytes());
}

/// Waits until the stream has ended, whether it was closed or reset.
pub(crate) async fn ends(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Reply {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A server of HTTP that answers with what it got: the request line, the fields, an empty line and the body.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    /// Closes all connections when it changes.
    pub(crate) close: watch::Sender<()>,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (connections, close) = (Arc::<AtomicUsize>::default(), watch::Sender::new(()));
        let app = Router::new().fallback(async |request: Request| {
            let (head, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_else(|_| Bytes::from_static(b"broken"));
            let mut text = format!("{} {}\n", head.method, head.uri);
            for (name, value) in &head.headers {
                text += &format!("{name}: {}\n", value.to_str().expect("text"));
            }
            text + "\n" + std::str::from_utf8(&body).expect("text")
        });
        let (count, closing) = (Arc::clone(&connections), close.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a listener");
                count.fetch_add(1, Ordering::Relaxed);
                let service = hyper_util::service::TowerToHyperService::new(app.clone());
                let mut close = closing.subscribe();
                tokio::spawn(async move {
                    let io = hyper_util::rt::TokioIo::new(stream);
                    let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
                    tokio::select! {
                        _ = connection => {}
                        _ = close.changed() => {}
                    }
                });
            }
        });
        Self { address, connections, close }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://app.test:{}{path}", self.address.port())
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A server that sends back all bytes. It counts its connections.
pub(crate) async fn echo() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a listener");
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    (port, connections)
}

/// Waits for something that other tasks bring about.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waits = async {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while !condition() {
            tick.tick().await;
        }
    };
    tokio::time::timeout(LONG, waits).await.expect("it happens");
}

/// The field with which a user authenticates.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    format!("proxy-authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
}
