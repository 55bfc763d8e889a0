use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_proxy::{RequestBody, ReverseProxyLayer, headers::ConnectionInfo, listen::Established, server::Server};
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::Mutex,
    time::timeout,
};
use tower::{Layer, service_fn};

/// Longer than anything takes that is not stuck. The clock is paused, so it costs no time.
const STUCK: Duration = Duration::from_secs(5);

/// The cases of a file.
pub(crate) fn cases(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).expect("JSON");
    file["cases"].as_array().expect("cases").clone()
}

/// Returns the bytes of a text: one for each character.
pub(crate) fn bytes(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a text");
    let whole =
        match text.split_once('<').and_then(|(before, after)| Some((before, after.split_once(" bytes left out>")?))) {
            Some((before, (count, after))) => {
                let count = count.parse().expect("a number");
                let filler = before.chars().last().expect("a character");
                format!("{before}{}{after}", filler.to_string().repeat(count))
            }
            None => text.to_owned(),
        };
    whole.chars().map(|character| u8::try_from(u32::from(character)).expect("latin-1")).collect()
}

/// What a client got, and what the backend received.
pub(crate) struct Seen {
    /// The raw response.
    pub(crate) response: Vec<u8>,
    /// The complete requests that the backend received.
    pub(crate) upstream: Vec<Vec<u8>>,
    /// The incomplete requests that the backend received.
    pub(crate) partial: Vec<Vec<u8>>,
    /// The requests that the proxy forwarded, as the server had read them.
    pub(crate) accepted: Vec<Accepted>,
}

/// A request as the server's parser has read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    /// Returns whether the backend received no byte of a request.
    pub(crate) fn reached_nothing(&self) -> bool {
        self.upstream.is_empty() && self.partial.is_empty()
    }

    pub(crate) fn status(&self) -> Option<u16> {
        std::str::from_utf8(self.response.strip_prefix(b"HTTP/1.")?.get(2..5)?).ok()?.parse().ok()
    }
}

/// The requests that a backend received: the complete ones and the others.
type Log = Arc<Mutex<(Vec<Vec<u8>>, Vec<Vec<u8>>)>>;

/// Sends raw bytes to the server with the proxy. The backend answers each request with the raw `answer`, and then
/// closes the connection.
pub(crate) async fn exchange(proxy: ReverseProxyLayer, request: &[u8], answer: &'static [u8]) -> Seen {
    let upstream = Log::default();
    let log = Arc::clone(&upstream);
    let backends = Arc::new(Mutex::new(Vec::new()));
    let all_backends = Arc::clone(&backends);
    let accepted = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let all_accepted = Arc::clone(&accepted);
    let client = service_fn(move |request: Request<RequestBody<Incoming>>| {
        let (log, backends) = (Arc::clone(&log), Arc::clone(&backends));
        let request = noted(request, Arc::clone(&accepted));
        async move {
            let (near, far) = duplex(1 << 20);
            let backend = tokio::spawn(backend(far, log, answer));
            backends.lock().await.push(backend);
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
            tokio::spawn(connection.with_upgrades());
            Ok::<Response<Incoming>, BoxError>(sender.send_request(request).await?)
        }
    });
    let (mut near, far) = duplex(1 << 20);
    let local = "127.0.0.1:19002".parse().expect("an address");
    let connection = Established::new(far)
        .peer("127.0.0.9:40000".parse().expect("an address"))
        .info(ConnectionInfo::new().local(local))
        .into();
    let server = tokio::spawn(Server::new(proxy.layer(client)).serve_connection(connection));
    near.write_all(request).await.expect("the server has a buffer");
    let mut response = Vec::new();
    let _ = timeout(STUCK, near.read_to_end(&mut response)).await;
    drop(near);
    let _ = timeout(STUCK, server).await;
    for backend in all_backends.lock().await.drain(..) {
        // A request that was broken off is an error, which is not of interest.
        let _ = timeout(STUCK, backend).await.expect("the connection is closed").expect("no further request");
    }
    let (upstream, partial) = std::mem::take(&mut *upstream.lock().await);
    let accepted = all_accepted.lock().clone();
    Seen { response, upstream, partial, accepted }
}

/// Sends raw bytes to a server. Returns the complete requests that its service gets.
pub(crate) async fn served(requests: &[u8]) -> Vec<Accepted> {
    let served = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let notes = Arc::clone(&served);
    let service = service_fn(move |request: Request<Incoming>| {
        let notes = Arc::clone(&notes);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            let (method, target) = (head.method.to_string(), head.uri.to_string());
            notes.lock().push(Accepted { method, target, body });
            Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::from("ok")))
        }
    });
    let (mut near, far) = duplex(1 << 20);
    let server = tokio::spawn(Server::new(service).serve_connection(Established::new(far).into()));
    near.write_all(requests).await.expect("the server has a buffer");
    let _ = timeout(STUCK, near.read_to_end(&mut Vec::new())).await;
    drop(near);
    timeout(STUCK, server).await.expect("the connection is closed").expect("no panic");
    served.lock().clone()
}

/// Writes down what the server has read of a request.
fn noted<B: Body<Data = Bytes>>(
    request: Request<B>,
    accepted: Arc<parking_lot::Mutex<Vec<Accepted>>>,
) -> Request<impl Body<Data = Bytes, Error = B::Error>> {
    let target = request.uri().path_and_query().map_or(String::new(), ToString::to_string);
    let method = request.method().to_string();
    let index = {
        let mut accepted = accepted.lock();
        accepted.push(Accepted { method, target, body: Vec::new() });
        accepted.len() - 1
    };
    request.map(|body| {
        body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                accepted.lock()[index].body.extend_from_slice(data);
            }
            frame
        })
    })
}

/// Reads one request, writes it down, and answers if it is complete.
async fn backend(mut stream: DuplexStream, log: Log, answer: &[u8]) -> io::Result<()> {
    let mut request = Vec::new();
    let result = read_request(&mut stream, &mut request).await;
    let mut log = log.lock().await;
    let list = if result.is_ok() { &mut log.0 } else { &mut log.1 };
    if !request.is_empty() {
        list.push(request);
    }
    drop(log);
    result?;
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    // Bytes after the request would be a second one.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await?;
    assert!(rest.is_empty(), "after the request: {}", String::from_utf8_lossy(&rest));
    Ok(())
}

async fn read_request(stream: &mut DuplexStream, request: &mut Vec<u8>) -> io::Result<()> {
    let head = loop {
        request.push(stream.read_u8().await?);
        if request.ends_with(b"\r\n\r\n") {
            break String::from_utf8_lossy(request).to_ascii_lowercase();
        }
    };
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    if field("transfer-encoding") == Some("chunked") {
        loop {
            let line = read_line(stream, request).await?;
            let size = line.split(';').next().map(str::trim_end).and_then(|size| usize::from_str_radix(size, 16).ok());
            let size = size.ok_or(io::ErrorKind::InvalidData)?;
            if size == 0 {
                break;
            }
            // With the line end after the chunk.
            for _ in 0..size + 2 {
                request.push(stream.read_u8().await?);
            }
        }
        while !read_line(stream, request).await?.is_empty() {}
    } else {
        for _ in 0..field("content-length").map_or(0, |length| length.parse().expect("a number")) {
            request.push(stream.read_u8().await?);
        }
    }
    Ok(())
}

/// Reads up to the end of a line. Returns the line without its end.
async fn read_line(stream: &mut DuplexStream, request: &mut Vec<u8>) -> io::Result<String> {
    let start = request.len();
    while request.len() < start + 2 || !request.ends_with(b"\r\n") {
        request.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&request[start..request.len() - 2]).into_owned())
}
