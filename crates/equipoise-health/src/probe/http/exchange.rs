use http::{HeaderValue, Request, Response, Uri, header::HOST};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
};
use hyper_util::rt::TokioIo;

use super::{
    super::{
        Probe, ProbeError, ProbeFuture, ProbeOutcome, Target,
        open::{Tasks, failed},
        pattern::Search,
    },
    HttpProbe, HttpVersion,
};

impl HttpProbe {
    async fn check(&self, target: &Target) -> Result<ProbeOutcome, ProbeError> {
        let tasks = Tasks::default();
        let response = self.send(target, &tasks).await?;
        let status = response.status().as_u16();
        if !self.statuses.iter().any(|expected| expected.contains(&status)) {
            return Err(ProbeError::Unexpected(format!("status {status}")));
        }
        self.read(response.into_body()).await.map(ProbeOutcome::from)
    }

    async fn send(&self, target: &Target, tasks: &Tasks) -> Result<Response<Incoming>, ProbeError> {
        let url = self.security.url(target, self.host.as_ref(), self.path.as_str())?;
        let protocols: &[&[u8]] = match self.version {
            HttpVersion::Negotiated => &[b"h2", b"http/1.1"],
            HttpVersion::Http1 => &[b"http/1.1"],
            HttpVersion::Http2 => &[b"h2"],
        };
        let (io, h2) = self.security.open(target, protocols).await?;
        let io = TokioIo::new(io);
        let response = if self.version == HttpVersion::Http2 || h2 {
            let request = self.request(url);
            let (mut sender, connection) =
                http2::handshake(tasks.spawner(), io).await.map_err(|error| failed(&error))?;
            tasks.run(connection);
            sender.send_request(request).await
        } else {
            let host = HeaderValue::from_str(url.authority().map_or("", |authority| authority.as_str()));
            let mut request = self.request(self.path.clone().into());
            request.headers_mut().insert(HOST, host.map_err(|_| target.refuse("its host cannot stand in a header"))?);
            let (mut sender, connection) = http1::handshake(io).await.map_err(|error| failed(&error))?;
            tasks.run(connection);
            sender.send_request(request).await
        };
        response.map_err(|error| failed(&error))
    }

    fn request(&self, url: Uri) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = url;
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Reads the body until the expected pattern is found. Without a pattern, the body is not read.
    async fn read(&self, mut body: Incoming) -> Result<(), ProbeError> {
        let Some(pattern) = &self.body else { return Ok(()) };
        let mut search = Search::new(pattern, self.max_body_bytes);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failed(&error))?;
            if frame.data_ref().map(|data| search.more(data)).transpose()? == Some(true) {
                return Ok(());
            }
        }
        search.end()
    }
}

impl Probe for HttpProbe {
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(self.check(target))
    }
}
