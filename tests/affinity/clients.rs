//! Clients: one with a cookie jar, like a browser, and one that sends raw bytes.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::cookie::Jar;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::proxy::{OUTCOME, Proxy, SERVED_BY};

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    /// The server that answered, or `none` if the proxy answered itself.
    pub(crate) fn server(&self) -> &str {
        self.header(&SERVED_BY).unwrap_or("none")
    }

    /// How the request was bound, as text.
    pub(crate) fn outcome(&self) -> &str {
        self.header(&OUTCOME).unwrap_or("")
    }

    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The cookie that the proxy set, without attributes.
    pub(crate) fn cookie(&self) -> Option<String> {
        Some(self.header(&header::SET_COOKIE)?.split(';').next()?.to_owned())
    }
}

/// reqwest with a cookie jar that outlives its connections.
pub(crate) struct Browser {
    jar: Arc<Jar>,
    headers: HeaderMap,
    client: reqwest::Client,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self::sending(HeaderMap::new())
    }

    /// A client that sends these headers with every request.
    pub(crate) fn with(name: &'static str, value: impl AsRef<str>) -> Self {
        Self::sending([(HeaderName::from_static(name), value.as_ref().parse().unwrap())].into_iter().collect())
    }

    fn sending(headers: HeaderMap) -> Self {
        let jar = Arc::new(Jar::default());
        let client = client(&jar, &headers);
        Self { jar, headers, client }
    }

    /// Closes its connections.
    pub(crate) fn reconnect(&mut self) {
        self.client = client(&self.jar, &self.headers);
    }

    /// Requests `/`.
    pub(crate) async fn get(&self, proxy: &Proxy) -> Answer {
        self.ask(proxy, "/").await
    }

    pub(crate) async fn ask(&self, proxy: &Proxy, path: &str) -> Answer {
        self.read(self.open(proxy, path).await).await
    }

    /// Returns the response once its head has arrived.
    pub(crate) async fn open(&self, proxy: &Proxy, path: &str) -> reqwest::Response {
        self.client.get(proxy.url() + path).send().await.unwrap()
    }

    pub(crate) async fn read(&self, response: reqwest::Response) -> Answer {
        let answer = Answer { status: response.status(), headers: response.headers().clone() };
        response.bytes().await.unwrap();
        answer
    }

    /// Sends this number of requests. Returns the servers that answered, without consecutive duplicates.
    pub(crate) async fn servers(&self, proxy: &Proxy, times: usize) -> Vec<String> {
        let mut servers = Vec::new();
        for _ in 0..times {
            let answer = self.get(proxy).await;
            assert_eq!(answer.status, StatusCode::OK);
            servers.push(answer.server().to_owned());
        }
        servers.dedup();
        servers
    }
}

fn client(jar: &Arc<Jar>, headers: &HeaderMap) -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy().cookie_provider(Arc::clone(jar));
    builder.default_headers(headers.clone()).build().unwrap()
}

/// Sends these bytes over a new connection.
pub(crate) async fn send(address: &str, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may answer and close the connection before it has read everything.
    let _ = stream.write_all(request).await;
    head(&mut stream).await
}

/// Sends `GET /` with these header lines, including their ends.
pub(crate) async fn get(proxy: &Proxy, lines: impl AsRef<[u8]>) -> Answer {
    let start = b"GET / HTTP/1.1\r\nhost: app.test\r\n";
    send(&proxy.address(), &[start, lines.as_ref(), b"\r\n"].concat()).await
}

/// Sends `GET /` with this cookie.
pub(crate) async fn get_with(proxy: &Proxy, cookie: impl AsRef<[u8]>) -> Answer {
    get(proxy, [b"cookie: ", cookie.as_ref(), b"\r\n"].concat()).await
}

/// Reads the head of a response, and possibly a part of the body.
pub(crate) async fn head(stream: &mut TcpStream) -> Answer {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(
            stream.read_buf(&mut read).await.unwrap(),
            0,
            "no complete head in {}",
            String::from_utf8_lossy(&read)
        );
    };
    let text = str::from_utf8(&read[..end]).unwrap();
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        (name.parse::<HeaderName>().unwrap(), value.trim().parse::<HeaderValue>().unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.map(pair) {
        headers.append(name, value);
    }
    Answer { status, headers }
}
