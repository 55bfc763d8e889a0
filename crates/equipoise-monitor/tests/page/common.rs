use bytes::Bytes;
use equipoise_core::{EndpointSpec, PickRequest, Pool, RoundRobin, Verdict};
use equipoise_health::{Health, HealthGuard};
use equipoise_monitor::{
    Monitor, WatchedPool,
    page::{Operator, PageBody, Refused, StatusPage},
};
use http::{
    Request, Response,
    request::{Builder, Parts},
};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower::ServiceExt;

/// A pool `web` with two endpoints and health, a pool `plain` without health, and their page.
pub(crate) struct Setup {
    pub(crate) web: Pool<()>,
    pub(crate) plain: Pool<()>,
    pub(crate) health: Health,
    pub(crate) monitor: Monitor,
    pub(crate) page: StatusPage,
    _checking: HealthGuard,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let health = Health::builder().build().expect("no settings");
        let web: Pool<()> = Pool::builder(RoundRobin::new()).latency_histograms(true).build();
        let checking = health.spawn(&web);
        web.update(["a", "b"].map(EndpointSpec::new), |_| ()).expect("valid endpoints");
        let plain: Pool<()> = Pool::new(RoundRobin::new());
        plain.update(["c"].map(EndpointSpec::new), |_| ()).expect("valid endpoints");
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &web).health(&health));
        monitor.add_pool(WatchedPool::new("plain", &plain));
        let page = StatusPage::new(&monitor);
        Self { web, plain, health, monitor, page, _checking: checking }
    }

    /// Changes the settings of the page.
    pub(crate) fn with(mut self, change: impl FnOnce(StatusPage) -> StatusPage) -> Self {
        self.page = change(self.page);
        self
    }

    /// Lets every request with `x-user` make changes.
    pub(crate) fn writable(self) -> Self {
        let authorise = |head: &Parts| match head.headers.get("x-user") {
            Some(user) if user == "guest" => Err(Refused::forbidden()),
            Some(user) => Ok(Operator::new(user.to_str().unwrap_or_default())),
            None => Err(Refused::unauthenticated("status \"page\"\r\n")),
        };
        self.with(|page| page.allow_changes(authorise))
    }

    pub(crate) async fn get(&self, uri: &str) -> Response<PageBody> {
        self.send(get(uri)).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<PageBody> {
        self.page.clone().oneshot(request).await.expect("no error")
    }

    pub(crate) async fn json(&self, uri: &str) -> Value {
        let request = request(uri).header("accept", "application/json").body(Full::default());
        let response = self.send(request.expect("a request")).await;
        assert_eq!(response.status(), 200, "{uri}");
        serde_json::from_str(&text(response).await).expect("JSON")
    }
}

pub(crate) fn request(uri: &str) -> Builder {
    Request::get(uri).header("host", "127.0.0.1:9000")
}

pub(crate) fn get(uri: &str) -> Request<Full<Bytes>> {
    request(uri).body(Full::default()).expect("a request")
}

pub(crate) async fn text(response: Response<PageBody>) -> String {
    let body = response.into_body().collect().await.expect("no error").to_bytes();
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

/// Sends a request through the pool.
pub(crate) fn serve(pool: &Pool<()>) {
    pool.pick(&PickRequest::new()).expect("an endpoint").finish(Verdict::Success);
}

/// A message of server-sent events.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) id: u64,
    pub(crate) data: Value,
}

/// Returns the next frame of a stream as it is.
pub(crate) async fn frame(body: &mut PageBody) -> Option<String> {
    let frame = body.frame().await?.expect("no error").into_data().expect("data");
    Some(String::from_utf8(frame.to_vec()).expect("UTF-8"))
}

/// Returns the next message of a stream, which must be one frame. Comments are skipped.
pub(crate) async fn message(body: &mut PageBody) -> Message {
    loop {
        let frame = frame(body).await.expect("no end");
        let lines = frame.strip_suffix("\n\n").expect("the end of a message");
        assert!(!lines.contains("\n\n") && !lines.contains('\r'), "{frame}");
        let field = |name: &str| {
            let mut values = lines.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            let value = values.next();
            assert_eq!(values.next(), None, "{name}");
            value
        };
        if let Some(data) = field("data") {
            let data = serde_json::from_str(data).expect("JSON");
            let id = field("id").expect("an id").parse().expect("a number");
            return Message { event: field("event").expect("an event").to_owned(), id, data };
        }
        assert!(lines.starts_with(':'), "{frame}");
    }
}

/// Whether the body has ended.
pub(crate) fn is_whole(body: &PageBody) -> bool {
    body.size_hint().exact().is_some()
}
