//! The clients that are compared.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use equipoise_core::{EndpointSpec, Pool};
use equipoise_http::{HttpClient, Upstream};
use http::{Request, Uri};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_service::Service;

#[derive(Clone)]
pub(crate) struct Subject {
    client: Kind,
    address: Arc<str>,
    uri: Uri,
    bytes: usize,
}

#[derive(Clone)]
enum Kind {
    /// hyper-util's client.
    Legacy(Box<Client<HttpConnector, Empty<Bytes>>>),
    /// hyper's connections, each driven by a task, in one list.
    Tasks(Arc<Mutex<Vec<SendRequest<Empty<Bytes>>>>>),
    /// hyper's connections, each polled by the task of its request, in one list.
    Driven(Arc<Mutex<Vec<Driven>>>),
    Upstream(Upstream),
    Client(HttpClient),
    /// The same bytes over sockets, without HTTP: what no client can avoid.
    Sockets(Arc<Mutex<Vec<TcpStream>>>),
}

/// A connection without a task.
struct Driven {
    sender: SendRequest<Empty<Bytes>>,
    connection: Pin<Box<Connection<TokioIo<TcpStream>, Empty<Bytes>>>>,
}

impl Driven {
    /// Waits for what `poll` polls, and drives the connection meanwhile.
    async fn drive<T>(
        connection: &mut Pin<Box<Connection<TokioIo<TcpStream>, Empty<Bytes>>>>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> T {
        std::future::poll_fn(|cx| {
            let ended = connection.as_mut().poll(cx);
            assert!(ended.is_pending(), "the server has closed the connection");
            poll(cx)
        })
        .await
    }
}

impl Subject {
    /// All subjects. The first one is the base of comparison.
    pub(crate) fn all(address: &str, bytes: usize) -> Vec<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let upstream = || Upstream::new(address).expect("a valid address");
        let pool = Pool::default();
        pool.add(EndpointSpec::new(address), upstream()).expect("a valid endpoint");
        let kinds = [
            Kind::Legacy(Box::new(Client::builder(TokioExecutor::new()).build(connector))),
            Kind::Tasks(Arc::default()),
            Kind::Driven(Arc::default()),
            Kind::Upstream(upstream()),
            Kind::Client(HttpClient::new(pool)),
            Kind::Sockets(Arc::default()),
        ];
        let uri: Uri = format!("http://{address}/{bytes}").parse().expect("a valid URI");
        kinds.map(|client| Self { client, address: address.into(), uri: uri.clone(), bytes }).into()
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.client {
            Kind::Legacy(_) => "hyper-util's client",
            Kind::Tasks(_) => "hyper's connections, a task each",
            Kind::Driven(_) => "hyper's connections, driven by requests",
            Kind::Upstream(_) => "`Upstream`",
            Kind::Client(_) => "`HttpClient`",
            Kind::Sockets(_) => "bytes over sockets",
        }
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn request(&self) {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = self.uri.clone();
        match &self.client {
            Kind::Legacy(client) => self.read(client.request(request).await.expect("a response").into_body()).await,
            Kind::Upstream(upstream) => {
                self.read(upstream.clone().call(request).await.expect("a response").into_body()).await;
            }
            Kind::Client(client) => self.read(client.call(request).await.expect("a response").into_body()).await,
            Kind::Tasks(idle) => {
                let kept = idle.lock().pop();
                let mut sender = match kept {
                    Some(sender) => sender,
                    None => {
                        let (sender, connection) = handshake(TokioIo::new(self.connect().await)).await.expect("HTTP");
                        tokio::spawn(connection);
                        sender
                    }
                };
                self.prepare(&mut request);
                sender.ready().await.expect("an open connection");
                self.read(sender.send_request(request).await.expect("a response").into_body()).await;
                idle.lock().push(sender);
            }
            Kind::Driven(idle) => {
                let kept = idle.lock().pop();
                let mut driven = match kept {
                    Some(driven) => driven,
                    None => {
                        let (sender, connection) = handshake(TokioIo::new(self.connect().await)).await.expect("HTTP");
                        let mut connection = Box::pin(connection);
                        Driven::drive(&mut connection, |_| Poll::Ready(())).await;
                        Driven { sender, connection }
                    }
                };
                self.prepare(&mut request);
                let mut response = pin!(driven.sender.send_request(request));
                let response = Driven::drive(&mut driven.connection, |cx| response.as_mut().poll(cx)).await;
                let (mut body, mut bytes) = (response.expect("a response").into_body(), 0);
                while bytes < self.bytes {
                    let frame = Driven::drive(&mut driven.connection, |cx| Pin::new(&mut body).poll_frame(cx)).await;
                    let frame = frame.expect("a frame").expect("a whole body");
                    bytes += frame.into_data().map_or(0, |data| data.len());
                }
                Driven::drive(&mut driven.connection, |_| Poll::Ready(())).await;
                idle.lock().push(driven);
            }
            Kind::Sockets(idle) => {
                let kept = idle.lock().pop();
                let mut stream = match kept {
                    Some(stream) => stream,
                    None => self.connect().await,
                };
                let head = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", self.uri.path(), self.address);
                stream.write_all(head.as_bytes()).await.expect("an open connection");
                let mut read = Vec::with_capacity(8_192);
                while read.len() < self.bytes {
                    if read.len() == read.capacity() {
                        read.reserve(8_192);
                    }
                    stream.read_buf(&mut read).await.expect("a response");
                }
                let end = read.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4 + self.bytes;
                while read.len() < end {
                    stream.read_buf(&mut read).await.expect("a response");
                }
                idle.lock().push(stream);
            }
        }
    }

    /// Gives a request the form that hyper's connections need.
    fn prepare(&self, request: &mut Request<Empty<Bytes>>) {
        *request.uri_mut() = Uri::from(self.uri.path_and_query().expect("a path").clone());
        let host = self.address.parse().expect("a valid host");
        request.headers_mut().insert(http::header::HOST, host);
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&*self.address).await.expect("a connection");
        stream.set_nodelay(true).expect("an open connection");
        stream
    }

    async fn read(&self, mut body: impl Body<Data = Bytes, Error: std::fmt::Debug> + Unpin) {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame.expect("a whole body").into_data().map_or(0, |data| data.len());
        }
        assert_eq!(bytes, self.bytes);
    }
}
