//! The clients.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderName, Request, Response,
    header::{COOKIE, HOST, SET_COOKIE},
};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::balancer::SERVED_BY;

/// The name of the balancers.
pub(crate) const NAME: &str = "localhost";

/// The header in which a proxy in front of the balancer reports the address of the client.
pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";

/// The header with the customer to whom a request belongs.
pub(crate) const TENANT: &str = "x-tenant";

/// The header in which the balancer says why it has no answer of a server (RFC 9209).
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// How often a client sends a request again whose connection was closed.
const MAX_RETRIES: usize = 10;

/// The requests of some clients, which send at the same time.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// How long a client waits for an answer. It sends no more requests then, but its connection stays open until the
    /// answers are dropped.
    pub(crate) patience: Duration,
    /// Whether clients keep their connection for the next request.
    pub(crate) keeps_alive: bool,
    /// Whether clients keep cookies.
    pub(crate) keeps_cookies: bool,
    /// How clients make TLS handshakes. Without it, they use plain HTTP.
    pub(crate) tls: Option<TlsConnector>,
}

type Connection = SendRequest<Empty<Bytes>>;

impl Default for Load {
    fn default() -> Self {
        Self { clients: 12, patience: Duration::from_secs(20), keeps_alive: true, keeps_cookies: false, tls: None }
    }
}

/// What the clients have got.
#[derive(Default)]
pub(crate) struct Answers {
    /// Numbers of answers by status and by server. For answers of the balancer itself, a text with its reason.
    pub(crate) counts: BTreeMap<(u16, String), usize>,
    /// The number of requests, with those that have got no answer.
    pub(crate) requests: usize,
    /// The number of requests for which a client gave up waiting.
    pub(crate) unanswered: usize,
    /// The number of times that a client got to another server than before.
    pub(crate) moves: usize,
    /// A cookie of a client, and the index of the balancer to which it would send its next request.
    pub(crate) cookie: Option<(String, usize)>,
    /// The requests that have no answer yet.
    waiting: Vec<JoinHandle<anyhow::Result<(Answer, Connection)>>>,
}

struct Answer {
    status: u16,
    server: String,
    cookie: Option<String>,
}

impl Answers {
    /// Returns the share of the server that has answered most requests, between 0 and 1.
    pub(crate) fn largest_share(&self) -> f64 {
        let mut servers = BTreeMap::<&str, usize>::new();
        for ((_, server), count) in &self.counts {
            *servers.entry(server).or_default() += count;
        }
        self.share(servers.into_values().max().unwrap_or_default())
    }

    /// Returns a number of requests as a share of all requests, between 0 and 1.
    pub(crate) fn share(&self, count: usize) -> f64 {
        count as f64 / self.requests.max(1) as f64
    }

    fn add(&mut self, mut other: Self) {
        for (key, count) in std::mem::take(&mut other.counts) {
            *self.counts.entry(key).or_default() += count;
        }
        self.requests += other.requests;
        self.unanswered += other.unanswered;
        self.moves += other.moves;
        self.cookie = self.cookie.take().or_else(|| other.cookie.take());
        self.waiting.append(&mut other.waiting);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for request in &self.waiting {
            request.abort();
        }
    }
}

impl Load {
    /// Sends about `requests` requests to the balancers. Each client uses the balancers in turn.
    pub(crate) async fn run(&self, balancers: &[SocketAddr], requests: usize) -> anyhow::Result<Answers> {
        let each = requests.div_ceil(self.clients);
        let mut clients = JoinSet::new();
        for number in 0..self.clients {
            clients.spawn(self.clone().client(number, balancers.to_vec(), each));
        }
        let mut answers = Answers::default();
        while let Some(ended) = clients.join_next().await {
            answers.add(ended??);
        }
        Ok(answers)
    }

    async fn client(self, number: usize, balancers: Vec<SocketAddr>, requests: usize) -> anyhow::Result<Answers> {
        let mut answers = Answers::default();
        let mut connections = HashMap::new();
        let (mut server, mut cookie) = (None, None);
        for (round, &balancer) in (0..requests).zip(balancers.iter().cycle()) {
            answers.requests += 1;
            let request = request(number, cookie.as_deref())?;
            let connection = connections.remove(&balancer);
            let mut exchange = tokio::spawn(exchange(balancer, self.tls.clone(), connection, request));
            let Ok(exchanged) = timeout(self.patience, &mut exchange).await else {
                answers.unanswered += 1;
                answers.waiting.push(exchange);
                break;
            };
            let (answer, connection) = exchanged??;
            if self.keeps_alive {
                connections.insert(balancer, connection);
            }
            answers.moves += usize::from(server.as_ref().is_some_and(|before| *before != answer.server));
            server = Some(answer.server.clone());
            *answers.counts.entry((answer.status, answer.server)).or_default() += 1;
            if self.keeps_cookies {
                cookie = answer.cookie.or(cookie);
                answers.cookie = cookie.clone().map(|cookie| (cookie, (round + 1) % balancers.len()));
            }
        }
        Ok(answers)
    }
}

/// Returns the address of a client, from the addresses for documentation (RFC 5737).
pub(crate) fn address(client: usize) -> IpAddr {
    IpAddr::from([203, 0, 113, (client % 254) as u8 + 1])
}

/// Returns the customer of a client. Two thirds of the clients are users of one customer.
pub(crate) fn tenant(client: usize) -> String {
    if client.is_multiple_of(3) { format!("small-{client}") } else { "large".to_owned() }
}

fn request(client: usize, cookie: Option<&str>) -> Result<Request<Empty<Bytes>>, http::Error> {
    let request = Request::get("/")
        .header(HOST, NAME)
        .header(FORWARDED_FOR, address(client).to_string())
        .header(TENANT, tenant(client));
    let request = cookie.into_iter().fold(request, |request, cookie| request.header(COOKIE, cookie));
    request.body(Empty::new())
}

async fn exchange(
    balancer: SocketAddr,
    tls: Option<TlsConnector>,
    mut kept: Option<Connection>,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(Answer, Connection)> {
    let mut tries = 0;
    let (response, connection) = loop {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect(balancer, tls.as_ref()).await?,
        };
        if connection.ready().await.is_err() && tries < MAX_RETRIES {
            tries += 1;
            continue;
        }
        match connection.send_request(request.clone()).await {
            Ok(response) => break (response, connection),
            // The balancer may close a connection without a request while the next request is sent there. Clients such as
            // browsers send the request again then.
            Err(_) if tries < MAX_RETRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    };
    let status = response.status().as_u16();
    let server = text(&response, &SERVED_BY)
        .or_else(|| Some(format!("the balancer itself ({})", text(&response, &PROXY_STATUS)?)))
        .unwrap_or_else(|| "the balancer itself".to_owned());
    let cookie = text(&response, &SET_COOKIE).and_then(|set| Some(set.split(';').next()?.to_owned()));
    response.into_body().collect().await?;
    Ok((Answer { status, server, cookie }, connection))
}

async fn connect(balancer: SocketAddr, tls: Option<&TlsConnector>) -> anyhow::Result<Connection> {
    let stream = TcpStream::connect(balancer).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => start(stream).await,
        Some(tls) => start(tls.connect(ServerName::try_from(NAME)?, stream).await?).await,
    }
}

async fn start(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> anyhow::Result<Connection> {
    let (connection, io) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(io);
    Ok(connection)
}

fn text<B>(response: &Response<B>, name: &HeaderName) -> Option<String> {
    Some(response.headers().get(name)?.to_str().ok()?.to_owned())
}
