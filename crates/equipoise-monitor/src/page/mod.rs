//! A status page: pools and endpoints in a table, live, with the reasons for their states; and listeners, functions of a
//! gateway and events.
//!
//! [`StatusPage`] is a tower service for requests of HTTP. It contains all files of the page, and needs no build step and
//! no other host.
//!
//! # Three ways to use it
//!
//! In one line, as the service of a server, or in axum as a nested service:
//!
//! ```
//! use equipoise_core::Pool;
//! use equipoise_monitor::{Monitor, WatchedPool, page::StatusPage};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let pool: Pool<()> = Pool::default();
//! let monitor = Monitor::new();
//! monitor.add_pool(WatchedPool::new("web", &pool));
//! let page = StatusPage::new(&monitor);
//! // With axum: `Router::new().nest_service("/status", page)`.
//! # drop(page);
//! # }
//! ```
//!
//! With settings: below a path, under a host name, and with changes by operators.
//!
//! ```
//! use equipoise_monitor::{Monitor, page::{Operator, Refused, StatusPage}};
//! use http::request::Parts;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // A proxy in front of this service asks for passwords, and adds this header.
//! let authorise = |head: &Parts| match head.headers.get("x-authenticated-user").map(|user| user.to_str()) {
//!     Some(Ok(user)) => Ok(Operator::new(user)),
//!     _ => Err(Refused::forbidden()),
//! };
//! let page = StatusPage::new(&Monitor::new())
//!     .at("/status/")
//!     .allow_host("gateway.example.com")
//!     .allow_changes(authorise);
//! # drop(page);
//! # }
//! ```
//!
//! By its parts: other programs read the same state as JSON (`status.json`), follow it (`updates`) and ask for
//! explanations (`explain`). [`WatchedPool::explain_with`](crate::WatchedPool::explain_with) explains what an application
//! decides before the pick. [`Monitor::snapshot`](crate::Monitor::snapshot) has the same numbers without HTTP.
//!
//! # Paths
//!
//! All paths are relative to that of the page. A JSON schema describes the data: `docs/monitoring/status.schema.json`.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET ./` | the page, or the state as JSON for clients that [prefer](https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1) `application/json` |
//! | `GET ./status.json` | the state as JSON |
//! | `GET ./updates` | the state, and then each second what has changed, as [server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html) |
//! | `GET ./explain?pool=NAME` | where a request would go, and why, as JSON or as text for clients that prefer `text/plain`. Parameters: `method`, `path`, `host`, `header` (as `NAME: VALUE`), `cookie`, `client` (an address), `key` |
//! | `POST ./endpoints` | sets the administrative state of an endpoint. The body is JSON or a form with the fields `pool`, `endpoint` and `state`: `ready`, `drain` or `maintenance`. The answer is sent when the pool has applied it, or after 1 s |
//! | `GET ./assets/…` | the files of the page |
//!
//! Refusals are text that says what would be right.
//!
//! # Updates
//!
//! The first message of a stream is an event `state` with everything. Later messages are events `update`: the values that
//! have changed since the last message to this client, and the newest sample of each endpoint that has had requests.
//! There is one each second, and one at once after a change of a pool, as [`live`](crate::live) describes. A client that
//! has missed more than 60 seconds gets a `state` again, and so do all clients after pools, listeners or functions were
//! added or removed. A comment is sent each 15 s in which nothing else was. A stream ends only if its client or the
//! program ends it: before a graceful shutdown of the server, call [`close`](StatusPage::close).
//!
//! # Cost
//!
//! Without clients, the page does nothing beyond the task of [`Monitor::spawn`](crate::Monitor::spawn). With clients,
//! each second it compares all endpoints with the second before. Each message is made once and shared by all clients that
//! have seen the same. With more than 500 endpoints and functions, this is done on a thread for blocking work.
//!
//! A message is made when the connection of a client can take it. So a slow reader gets fewer messages, and takes no more
//! memory than one message, however many updates it has missed. There are at most 64 streams
//! ([`max_streams`](StatusPage::max_streams)), and a reader that has been stuck for 30 s loses its place to a new one.
//!
//! For a pool of 1 000 endpoints with two minutes of history, the state has 0.6 MB if all are idle, and 3.4 MB if all are
//! busy. An update has 0.2 KB, and 0.35 KB more for each endpoint that has had requests in that second: 350 KB per second
//! if all have.
//!
//! # Security
//!
//! - **Reading:** every client that can connect can read the state: addresses of endpoints, errors of their checks, names
//!   of limits and of issuers of tokens, errors of Redis, names of operators in events. Serve the page at an address
//!   that only operators reach, or behind a layer that asks for credentials.
//! - **DNS rebinding:** only requests for an address, for `localhost` and for names of
//!   [`allow_host`](StatusPage::allow_host) are answered.
//! - **Changes** are off. With [`allow_changes`](StatusPage::allow_changes), a change needs the consent of the authoriser.
//!   Each one is an [event](crate::live::MonitorEventKind::Command) with the name of the operator. It is made through the
//!   health checks of the pool, so that the page shows it as the reason of the state.
//! - **Forged requests:** a change also needs the header `X-CSRF-Token` with the `csrf_token` of the state, which pages of
//!   other sites cannot read. Requests whose `Origin` or `Sec-Fetch-Site` names another site are refused. A proxy in front
//!   of the page must pass the header `Host` on unchanged, because it is compared with `Origin`.
//! - **Hostile texts** such as ids, reasons and header values are data of JSON only, in which `<`, `>` and `&` are escaped.
//!   The script of the page inserts them as text. `Content-Security-Policy` permits no inline script and no other host.
//! - **Bodies** of more than 4 KiB, or that take longer than 5 s, are refused, and so are explanations that take longer
//!   than 5 s.

mod accept;
mod assets;
mod body;
mod control;
mod explain;
mod host;
mod json;
mod reply;
mod route;
mod service;
mod state;
mod stream;

pub use self::{
    body::PageBody,
    control::{Operator, Refused},
    service::StatusPage,
};
pub use crate::source::{ExplainAnswer, ExplainQuestion};
