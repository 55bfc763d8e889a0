use std::{
    future::Future,
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use equipoise_proxy::check::check_response;
use equipoise_tower::BoxError;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED, RANGE, TRANSFER_ENCODING},
    response::Parts,
};
use http_body::Body;
use tower::{Service, ServiceExt};
use tracing::Instrument;

use crate::cache::{
    CacheError,
    engine::Engine,
    rules::{
        conditional,
        control::RequestControl,
        fields::updated,
        freshness,
        policy::{Asked, NEVER_STALE, NO_CACHE},
        reason::NotStored,
        vary,
    },
    sharing::{
        fill::{EndsOnDrop, Filling, Reader},
        flight::Outcome,
    },
    store::{self, Entry, Generation, Head, Key, Stored},
};

/// How long an entry takes the place of a removed variant. A store may drop it as soon as it has expired.
const FORGOTTEN_FOR: Duration = Duration::from_secs(1);

/// One request to the inner service, and what its response is for.
pub(super) struct Job {
    pub(super) key: Key,
    pub(super) asked: Arc<Asked>,
    pub(super) control: RequestControl,
    pub(super) stale: Option<Entry>,
    pub(super) generation: Generation,
    pub(super) ask_for_all: bool,
}

/// What came of a job.
pub(super) enum Fetched<R> {
    /// A response for this client only.
    Direct(Response<R>),
    /// A response that will be stored: its head, the client's reader, and what has to be received.
    Filled { parts: Parts, reader: Reader, filling: Arc<Filling>, body: R },
    /// The stored response is still valid: what this client gets, and what the others get.
    Validated { own: Entry, stored: Entry },
    /// Something that all clients can use.
    Shared(Outcome),
}

impl Job {
    /// Asks the inner service.
    pub(super) async fn fetch<S, B, R>(&self, engine: &Arc<Engine>, inner: S, mut request: Request<B>) -> Fetched<R>
    where
        S: Service<Request<B>, Response = Response<R>> + Clone,
        S::Error: Into<BoxError>,
        B: Default,
        R: Body<Data = Bytes>,
    {
        if self.ask_for_all {
            conditional::ask_for_all(request.headers_mut());
        }
        let validated = self.stale.as_ref().filter(|stale| self.ask_for_all && has_validator(stale));
        let validation = validated.map(|stale| (stale, inner.clone(), without_body(&request)));
        if let Some(stale) = validated {
            conditional::validate(request.headers_mut(), &stale.head().headers);
        }
        let mut request_time = engine.now();
        let response = ask(engine, inner, request).await;
        let mut now = engine.now();
        let response = match (validation, response) {
            (Some((stale, inner, request)), Ok(answer)) if answer.status() == StatusCode::NOT_MODIFIED => {
                let (Parts { headers, .. }, _) = answer.into_parts();
                if conditional::selects(&headers, &stale.head().headers) {
                    let (own, stored) = self.refreshed(engine, stale, &headers, request_time, now).await;
                    return Fetched::Validated { own, stored };
                }
                // It is about a response that the cache does not have (RFC 9111, 4.3.4).
                request_time = now;
                let response = ask(engine, inner, request).await;
                now = engine.now();
                response
            }
            (_, response) => response,
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                return Fetched::Shared(match self.usable_on_error(now) {
                    Some(entry) => Outcome::OnError { entry, status: None },
                    None => Outcome::Failed(CacheError::service(error)),
                });
            }
        };
        if matches!(response.status().as_u16(), 500 | 502 | 503 | 504)
            && let Some(entry) = self.usable_on_error(now)
        {
            return Fetched::Shared(Outcome::OnError { entry, status: Some(response.status()) });
        }
        if self.asked.method == Method::HEAD {
            self.update_by_head(engine, response.status(), response.headers(), request_time, now).await;
            return Fetched::Direct(response);
        }
        self.received(engine, response, request_time, now).await
    }

    fn set_uncacheable(&self, engine: &Engine, uncacheable: bool) {
        engine.set_uncacheable(&self.key, self.asked.authorized, uncacheable);
    }

    fn usable_on_error(&self, now: SystemTime) -> Option<Entry> {
        self.stale.as_ref().filter(|stale| freshness::usable_on_error(stale.head(), &self.control, now)).cloned()
    }

    /// Decides whether a complete response is stored.
    async fn received<R: Body<Data = Bytes>>(
        &self,
        engine: &Arc<Engine>,
        mut response: Response<R>,
        request_time: SystemTime,
        now: SystemTime,
    ) -> Fetched<R> {
        let policy = &engine.settings.policy;
        let judged = if check_response(&response).is_err() {
            Err(NotStored::Invalid)
        } else if self.has_range() && response.status() != StatusCode::OK {
            // It may be about the range of this client.
            Err(NotStored::Status)
        } else {
            policy.judge(&self.asked, response.status(), response.headers(), request_time, now)
        };
        let head = match judged {
            Ok(head) => head,
            Err(reason) => {
                engine.counters.not_stored.count(reason);
                // A range, a condition or `no-store` of one client says nothing about the responses to others.
                if self.ask_for_all && reason != NotStored::RequestNoStore {
                    self.set_uncacheable(engine, true);
                }
                if !reason.is_of_request() && reason != NotStored::Invalid {
                    self.superseded(engine, response.status(), now).await;
                }
                // For `Cache-Status`.
                response.extensions_mut().insert(reason);
                return Fetched::Direct(response);
            }
        };
        let expected = announced(response.headers()).or_else(|| response.body().size_hint().exact());
        let limit = engine.settings.max_entry_bytes;
        let too_large = expected.is_some_and(|expected| expected > limit);
        let filling = Filling::new(Arc::new(head), expected, limit, Arc::clone(&engine.budget));
        match filling.join().filter(|_| !too_large) {
            Some(reader) => {
                let (parts, body) = response.into_parts();
                Fetched::Filled { parts, reader, filling, body }
            }
            None => {
                engine.counters.too_large.add();
                self.set_uncacheable(engine, true);
                self.superseded(engine, response.status(), now).await;
                Fetched::Direct(response)
            }
        }
    }

    /// Whether the request was forwarded with the range of its client.
    fn has_range(&self) -> bool {
        !self.ask_for_all && self.asked.headers.contains_key(RANGE)
    }

    /// Removes the selected response after the backend has sent another one that is not stored (RFC 9111, 4.3.3): it
    /// must not be used stale any more. An error that may be about one client or one moment removes nothing.
    async fn superseded(&self, engine: &Arc<Engine>, status: StatusCode, now: SystemTime) {
        let is_new = status.is_success()
            || status.is_redirection() && status != StatusCode::NOT_MODIFIED
            || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
        if let Some(stale) = &self.stale
            && is_new
            && !self.asked.authorized
            && !self.has_range()
        {
            self.forget(engine, stale, now).await;
        }
    }

    /// Updates the stored response by the fields of a 304 or of the response to `HEAD` (RFC 9111, 4.3.4), and stores it if
    /// that is still allowed. Returns it with all fields, for the client of this request, and as it is stored.
    async fn refreshed(
        &self,
        engine: &Arc<Engine>,
        stale: &Entry,
        update: &HeaderMap,
        request_time: SystemTime,
        now: SystemTime,
    ) -> (Entry, Entry) {
        let policy = &engine.settings.policy;
        let headers = updated(&stale.head().headers, update);
        match policy.refresh(&self.asked, stale.head(), &headers, request_time, now) {
            Ok(head) => {
                self.set_uncacheable(engine, !is_shareable(&head, now));
                let mut own = head.clone();
                for (name, value) in headers.iter().filter(|(name, _)| !head.headers.contains_key(*name)) {
                    own.headers.append(name.clone(), value.clone());
                }
                let stored = stale.with_head(head);
                self.replace(engine, stale, stored.clone(), now).await;
                (stale.with_head(own), stored)
            }
            Err(reason) => {
                engine.counters.not_stored.count(reason);
                // Otherwise any client could remove what is stored for others.
                if !reason.is_of_request() {
                    self.set_uncacheable(engine, true);
                    self.forget(engine, stale, now).await;
                }
                // It answers this request with what the backend has said last.
                let mut head = Head::new(stale.head().status, headers, request_time, now);
                head.flags = NO_CACHE;
                head.vary = vary::select_like(&stale.head().vary, &self.asked.headers);
                let entry = stale.with_head(head);
                (entry.clone(), entry)
            }
        }
    }

    /// Removes one variant. An entry without a body that nothing may use takes its place until it expires, so the other
    /// variants stay, and responses on their way are stored.
    async fn forget(&self, engine: &Arc<Engine>, stale: &Entry, now: SystemTime) {
        let old = stale.head();
        let mut head = Head::new(old.status, HeaderMap::new(), now, now);
        head.vary.clone_from(&old.vary);
        head.flags = NO_CACHE | NEVER_STALE;
        head.expires = now.checked_add(FORGOTTEN_FOR);
        self.replace(engine, stale, Entry::new(head, store::Body::default()), now).await;
    }

    /// Stores an entry in the place of the one that was validated, unless the store has another one by now: that is
    /// newer than this response. A client does not wait for a store that is not ready at once.
    async fn replace(&self, engine: &Arc<Engine>, stale: &Entry, entry: Entry, now: SystemTime) {
        let (engine, key, stale, generation) = (Arc::clone(engine), self.key.clone(), stale.clone(), self.generation);
        let storing = async move {
            let found = engine.store.get(&key, now).await;
            let is_same = |found: &Entry| {
                let (old, validated) = (found.head(), stale.head());
                old.is_same_variant(validated)
                    && old.request_time == validated.request_time
                    && old.response_time == validated.response_time
            };
            // An entry without fields only takes the place of a removed one.
            let is_response = !entry.head().headers.is_empty();
            if found.entries.iter().any(is_same)
                && engine.store.put(&key, entry, generation).await == Stored::Yes
                && is_response
            {
                engine.counters.stored.add();
            }
        };
        let mut storing = Box::pin(storing);
        // A store in memory is done before the client has the response.
        let is_done = std::future::poll_fn(|cx| Poll::Ready(storing.as_mut().poll(cx).is_ready())).await;
        if !is_done {
            tokio::spawn(storing.in_current_span());
        }
    }

    /// Updates the stored response to `GET` by one to `HEAD`, or removes it if the same request by `GET` would get
    /// another one now (RFC 9111, 4.3.5).
    async fn update_by_head(
        &self,
        engine: &Arc<Engine>,
        status: StatusCode,
        new: &HeaderMap,
        request_time: SystemTime,
        now: SystemTime,
    ) {
        let Some(stale) = &self.stale else { return };
        let old = &stale.head().headers;
        // An error may be one of `HEAD` only, and credentials may select another response.
        if status != stale.head().status {
            return;
        }
        let mut received =
            [ETAG, LAST_MODIFIED, CONTENT_LENGTH].into_iter().filter(|name| new.contains_key(name)).peekable();
        if received.peek().is_none() {
            // It says nothing about the stored response, which would be kept fresh by each such request.
            return;
        }
        if received.all(|name| new.get(&name) == old.get(&name)) {
            self.refreshed(engine, stale, new, request_time, now).await;
        } else if status == StatusCode::OK && !self.asked.authorized {
            self.forget(engine, stale, now).await;
        }
    }

    /// Receives a response and stores it.
    pub(super) async fn complete<R>(&self, engine: &Engine, filling: &Filling, body: R)
    where
        R: Body<Data = Bytes>,
        R::Error: Into<BoxError>,
    {
        let _ends = EndsOnDrop(filling);
        let Some((body, trailers)) = filling.receive(body).await else {
            if filling.is_overflown() {
                engine.counters.too_large.add();
                self.set_uncacheable(engine, true);
            } else {
                engine.counters.incomplete.add();
            }
            return;
        };
        let mut head = Head::clone(&filling.head);
        if head.status != StatusCode::NO_CONTENT {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        self.set_uncacheable(engine, !is_shareable(&head, engine.now()));
        let body = body.compact_and_counted(&engine.budget.of_store);
        let entry = Entry::new(head, body.clone());
        // A store in memory has the response before a client sees its end, so the client's next request finds it.
        // Clients do not wait for other stores.
        let stored = match engine.store.put(&self.key, entry, self.generation).into_ready() {
            Ok(stored) => {
                filling.finish(body, trailers, true);
                stored
            }
            Err(storing) => {
                filling.finish(body, trailers, false);
                storing.await
            }
        };
        if stored == Stored::Yes {
            engine.counters.stored.add();
        }
    }
}

/// Returns a request with an empty body. Those that a cache sends have no other.
fn without_body<B: Default>(request: &Request<B>) -> Request<B> {
    let mut copy = Request::new(B::default());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    *copy.version_mut() = request.version();
    copy.headers_mut().clone_from(request.headers());
    copy.extensions_mut().clone_from(request.extensions());
    copy
}

/// Sends a request. It fails if the head of the response does not come in time, and if it is a 304 for which the request
/// has not asked: the client has no response that it could use then.
async fn ask<S, B, R>(engine: &Engine, inner: S, request: Request<B>) -> Result<Response<R>, BoxError>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    let is_conditional = conditional::asks_for_304(request.headers());
    let response = inner.oneshot(request);
    let response = match engine.settings.fetch_timeout {
        None => response.await,
        Some(limit) => tokio::time::timeout(limit, response)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no response to the cache in time"))?,
    };
    let response = response.map_err(Into::into)?;
    if response.status() == StatusCode::NOT_MODIFIED && !is_conditional {
        return Err("status 304 to a request without a condition".into());
    }
    Ok(response)
}

/// Whether a response that has just arrived may answer other requests that wait for it.
pub(super) fn is_shareable(head: &Head, now: SystemTime) -> bool {
    head.flags & NO_CACHE == 0 && freshness::age(head, now) < head.fresh_for
}

fn has_validator(entry: &Entry) -> bool {
    entry.head().flags & crate::cache::rules::policy::HAS_VALIDATOR != 0
}

/// The announced length of the body. `None` if there is none, or several different ones, or if the body is chunked (RFC
/// 9112, 6.3).
fn announced(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(TRANSFER_ENCODING) {
        return None;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter().map(|value| value.to_str().ok()?.trim().parse().ok());
    let first: Option<u64> = lengths.next()?;
    if lengths.all(|other| other == first) { first } else { None }
}
