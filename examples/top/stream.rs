//! Reads a status page: once, or all its updates with a new connection after each loss.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use equipoise::{EndpointSpec, HttpClient, Pool, Upstream, http::ResponseBody, tower::LeasedBody};
use futures::{Stream, StreamExt, stream};
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Uri,
    header::{ACCEPT, CONTENT_TYPE},
    uri::Authority,
};
use http_body_util::{BodyExt, Empty};
use sse_stream::SseByteStream;
use tokio::{sync::mpsc, time};
use tower::ServiceExt;

/// The time for a response to begin.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The time without a byte after which a connection is given up. The server sends something each 15 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The time between two attempts to connect.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// The maximum number of bytes of a state or an event. A state with 10 000 endpoints has about 20 MB.
const MAX_STATE: usize = 64 << 20;

/// What was read.
#[derive(Debug)]
pub(crate) enum Message {
    /// The whole state, as JSON.
    State(String),
    /// What has changed, as JSON.
    Update(String),
    /// Why the connection is lost. There will be another one.
    Lost(String),
}

/// A status page.
#[derive(Clone)]
pub(crate) struct Page {
    client: HttpClient,
    authority: Authority,
    /// The path of the page, with a slash at its end.
    path: String,
    headers: HeaderMap,
}

impl Page {
    /// Creates a client of a page. `headers` are added to each request.
    pub(crate) fn new(url: &str, headers: HeaderMap) -> anyhow::Result<Self> {
        let wrong = || anyhow::anyhow!("{url:?} is not the URL of a status page: write http://HOST:PORT/PATH/");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().cloned().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        let mut path = uri.path().to_owned();
        if !path.ends_with('/') {
            path.push('/');
        }
        let pool = Pool::default();
        pool.try_update([EndpointSpec::new(authority.as_str())], |spec| Upstream::new(spec.address()))?;
        Ok(Self { client: HttpClient::new(pool), authority, path, headers })
    }

    /// Returns the whole state as JSON.
    pub(crate) async fn state(&self) -> anyhow::Result<String> {
        let body = self.get("status.json", "application/json").await?;
        let body = http_body_util::Limited::new(body, MAX_STATE).collect();
        let bytes = time::timeout(IDLE_TIMEOUT, body).await?.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        Ok(String::from_utf8(bytes.into())?)
    }

    /// Sends the state, the updates and the losses of connections until the receiver is dropped.
    pub(crate) async fn follow(self, messages: mpsc::Sender<Message>) {
        loop {
            let lost = match self.connection(&messages).await {
                Ok(()) => "the server has closed the connection".to_owned(),
                // The client's own error says more than fits into a line.
                Err(error) => error.root_cause().to_string(),
            };
            if messages.send(Message::Lost(lost)).await.is_err() {
                return;
            }
            time::sleep(RETRY).await;
        }
    }

    /// Sends what one connection brings.
    async fn connection(&self, messages: &mpsc::Sender<Message>) -> anyhow::Result<()> {
        let body = self.get("updates", "text/event-stream").await?;
        let unread = Arc::default();
        let chunks = with_limits(body.into_data_stream(), Arc::clone(&unread), MAX_STATE);
        let mut events = SseByteStream::new(Box::pin(chunks));
        while let Some(event) = events.next().await {
            let event = event?;
            unread.store(0, Ordering::Relaxed);
            let Some(data) = event.data else { continue };
            let message = match event.event.as_deref() {
                Some("state") => Message::State(data),
                Some("update") => Message::Update(data),
                _ => continue,
            };
            if messages.send(message).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Asks for a part of the page, of a media type.
    async fn get(&self, name: &str, media_type: &'static str) -> anyhow::Result<LeasedBody<ResponseBody>> {
        let url = format!("http://{}{}{name}", self.authority, self.path);
        let mut request = Request::get(&url).body(Empty::<Bytes>::new())?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(media_type));
        request.headers_mut().extend(self.headers.clone());
        let response = time::timeout(HEAD_TIMEOUT, self.client.clone().oneshot(request)).await;
        let response = response.map_err(|_| anyhow::anyhow!("no answer within {HEAD_TIMEOUT:?}"))??;
        let found = response.headers().get(CONTENT_TYPE).and_then(|found| found.to_str().ok()).unwrap_or_default();
        anyhow::ensure!(response.status() == StatusCode::OK, "{url} answers {}", response.status());
        anyhow::ensure!(found.starts_with(media_type), "{url} is not that of a status page");
        Ok(response.into_body())
    }
}

/// Returns a stream with an error if nothing arrives for [`IDLE_TIMEOUT`], or if `unread`, to which the lengths of the
/// chunks are added, exceeds `max`.
fn with_limits<E>(
    chunks: impl Stream<Item = Result<Bytes, E>> + Unpin,
    unread: Arc<AtomicUsize>,
    max: usize,
) -> impl Stream<Item = io::Result<Bytes>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    stream::unfold((chunks, unread), move |(mut chunks, unread)| async move {
        let chunk = match time::timeout(IDLE_TIMEOUT, chunks.next()).await {
            Ok(chunk) => chunk?.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("nothing arrived for {IDLE_TIMEOUT:?}"))),
        };
        let chunk = chunk.and_then(|chunk| {
            let before = unread.fetch_add(chunk.len(), Ordering::Relaxed);
            let is_allowed = before.saturating_add(chunk.len()) <= max;
            let too_long = || io::Error::new(io::ErrorKind::InvalidData, format!("an event exceeds {max} bytes"));
            is_allowed.then_some(chunk).ok_or_else(too_long)
        });
        Some((chunk, (chunks, unread)))
    })
}

#[cfg(test)]
mod tests {
    use equipoise::{
        Availability,
        monitor::{Monitor, WatchedPool, page::StatusPage},
        proxy::server::Server,
    };
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;
    use crate::{model::Model, once};

    /// Waits for the next message. The timeout only turns a hang into a failure.
    async fn next(messages: &mut mpsc::Receiver<Message>) -> Message {
        time::timeout(Duration::from_secs(60), messages.recv()).await.unwrap().unwrap()
    }

    fn serve(monitor: &Monitor, listener: TcpListener) -> Server<StatusPage> {
        let server = Server::new(StatusPage::new(monitor).at("/status/"));
        tokio::spawn(server.clone().serve(listener));
        server
    }

    #[tokio::test]
    async fn a_page_is_followed_also_after_the_connection_is_lost() {
        let (pool, monitor) = (Pool::<()>::default(), Monitor::new());
        for id in ["a:80", "b:80"] {
            pool.add(EndpointSpec::new(id), ()).unwrap();
        }
        monitor.add_pool(WatchedPool::new("web", &pool));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(&monitor, listener);
        let page = Page::new(&format!("http://{address}/status"), HeaderMap::new()).unwrap();
        let (sender, mut messages) = mpsc::channel(16);
        tokio::spawn(page.clone().follow(sender));

        let Message::State(json) = next(&mut messages).await else { panic!("first the whole state") };
        let mut model = Model::read(&json).unwrap();
        pool.set_availability("b:80", Availability::Maintenance).unwrap();
        let availability = |model: &Model| model.pools[0].endpoints[1].shown.availability.to_string();
        while availability(&model) != "maintenance" {
            match next(&mut messages).await {
                Message::Update(json) => model.update(&json).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        let table = once::table(&Model::read(&page.state().await.unwrap()).unwrap());
        assert!(table.lines().nth(2).unwrap().starts_with("web   b:80      maintenance"), "{table}");

        server.shutdown(Duration::ZERO).await;
        while !matches!(next(&mut messages).await, Message::Lost(_)) {}
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let _server = serve(&monitor, socket.listen(16).unwrap());
        loop {
            match next(&mut messages).await {
                Message::Lost(_) => {}
                Message::State(json) => {
                    assert_eq!(availability(&Model::read(&json).unwrap()), "maintenance");
                    break;
                }
                Message::Update(json) => panic!("first the whole state: {json}"),
            }
        }
    }

    #[tokio::test]
    async fn an_event_that_exceeds_the_limit_is_an_error() {
        let chunks = ["data: 1\n\n", "data: 2\n\n", "data: 333333", "333333333", "\n\n"];
        let chunks = stream::iter(chunks.map(|chunk| Ok::<_, io::Error>(Bytes::from(chunk))));
        let unread = Arc::default();
        let mut events = SseByteStream::new(Box::pin(with_limits(chunks, Arc::clone(&unread), 20)));
        for data in ["1", "2"] {
            assert_eq!(events.next().await.unwrap().unwrap().data.unwrap(), data);
            unread.store(0, Ordering::Relaxed);
        }
        assert!(events.next().await.unwrap().unwrap_err().to_string().contains("exceeds 20 bytes"));
    }

    #[tokio::test]
    async fn what_is_not_a_status_page_is_an_error() {
        for url in ["127.0.0.1:9900", "https://127.0.0.1/", "/status/", "http://", "ftp://a/"] {
            assert!(Page::new(url, HeaderMap::new()).is_err(), "{url}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let _server = serve(&Monitor::new(), listener);
        let error = Page::new(&url, HeaderMap::new()).unwrap().state().await.unwrap_err();
        assert_eq!(error.to_string(), format!("{url}status.json answers 404 Not Found"));
    }
}
