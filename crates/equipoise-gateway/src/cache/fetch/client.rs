//! The response to one client, made of what its own fetch or that of another client has brought.

use std::time::SystemTime;

use http::{Response, StatusCode, response::Parts};

use super::{job::is_shareable, task::Reply};
use crate::cache::{
    CacheBody, CacheError,
    engine::Engine,
    rules::{
        conditional, freshness,
        policy::Asked,
        reason::NotStored,
        vary::{self, Selecting},
    },
    sharing::flight::Outcome,
    status::{Forwarded, Handling},
    store::{Entry, Head, Key},
};

/// A request, and why it is forwarded.
pub(super) struct Client<'a> {
    pub(super) engine: &'a Engine,
    pub(super) asked: &'a Asked,
    pub(super) key: &'a Key,
    pub(super) why: Forwarded,
    /// Whether the request is forwarded without its conditions.
    pub(super) ask_for_all: bool,
}

/// What a request gets from the fetch of another one.
pub(super) enum Shared<R> {
    Response(Response<CacheBody<R>>),
    Error(CacheError),
    /// The response is for other requests: this one selects the variant with these values.
    OtherVariant(Selecting),
    Nothing,
}

impl Client<'_> {
    /// Makes the response of what this client's own fetch has brought.
    pub(super) fn finish<R>(&self, reply: Reply<R>) -> Result<Response<CacheBody<R>>, CacheError> {
        let engine = self.engine;
        let mut handling = Handling::forwarded(self.why);
        match reply {
            Reply::Direct(response) => {
                engine.counters.misses.add();
                let (mut parts, body) = response.into_parts();
                handling.detail = parts.extensions.remove::<NotStored>().map(NotStored::as_str);
                Ok(self.respond(parts, handling, CacheBody::inner(body)))
            }
            Reply::Filled(parts, reader, filling) => {
                engine.counters.misses.add();
                handling.stored = true;
                handling.ttl = Some(freshness::ttl(&filling.head, engine.now()));
                Ok(self.respond(parts, handling, CacheBody::filling(reader)))
            }
            Reply::Shared(Outcome::Validated(entry)) => {
                engine.counters.validated.add();
                Ok(self.validated(&entry, handling))
            }
            Reply::Shared(Outcome::OnError { entry, status }) => {
                engine.counters.stale_on_error.add();
                Ok(self.on_error(&entry, status, handling))
            }
            Reply::Shared(Outcome::Failed(error)) => {
                engine.counters.misses.add();
                Err(error)
            }
            // A fetch does not bring these to its own client.
            Reply::Shared(Outcome::Filling(_) | Outcome::Alone) => Err(CacheError::Lost),
        }
    }

    /// Makes the response of one of the inner service: 304 if the cache has removed a condition by which the client has
    /// it already.
    fn respond<R>(&self, mut parts: Parts, mut handling: Handling, body: CacheBody<R>) -> Response<CacheBody<R>> {
        let asked = self.asked;
        let is_not_modified = self.ask_for_all
            && conditional::is_new_not_modified(&asked.method, &asked.headers, parts.status, &parts.headers);
        if is_not_modified {
            handling.status = Some(parts.status);
            parts.status = StatusCode::NOT_MODIFIED;
            conditional::not_modified_fields(&mut parts.headers);
        }
        self.engine.mark(&handling, Some(self.key), &mut parts.headers);
        Response::from_parts(parts, if is_not_modified { CacheBody::empty() } else { body })
    }

    /// Makes the response of what another client's fetch has brought.
    pub(super) fn share<R>(&self, outcome: Outcome) -> Shared<R> {
        let engine = self.engine;
        let now = engine.now();
        let mut handling = Handling { collapsed: true, ..Handling::forwarded(self.why) };
        match outcome {
            Outcome::Alone => Shared::Nothing,
            Outcome::Failed(error) => {
                engine.counters.coalesced.add();
                Shared::Error(error)
            }
            Outcome::Validated(entry) => {
                if let Some(other) = self.other_variant(entry.head()) {
                    return Shared::OtherVariant(other);
                }
                if !is_shareable(entry.head(), now) {
                    return Shared::Nothing;
                }
                engine.counters.coalesced.add();
                Shared::Response(self.validated(&entry, handling))
            }
            Outcome::OnError { entry, status } => {
                if let Some(other) = self.other_variant(entry.head()) {
                    return Shared::OtherVariant(other);
                }
                engine.counters.stale_on_error.add();
                Shared::Response(self.on_error(&entry, status, handling))
            }
            Outcome::Filling(filling) => {
                if let Some(other) = self.other_variant(&filling.head) {
                    return Shared::OtherVariant(other);
                }
                let Some(reader) = filling.join() else { return Shared::Nothing };
                engine.counters.coalesced.add();
                handling.ttl = Some(freshness::ttl(&filling.head, now));
                let mut response = engine.head(&filling.head, self.key, &handling, now);
                if self.is_not_modified(&filling.head) {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                    conditional::not_modified_fields(response.headers_mut());
                } else {
                    *response.body_mut() = CacheBody::filling(reader);
                }
                Shared::Response(response)
            }
        }
    }

    fn other_variant(&self, head: &Head) -> Option<Selecting> {
        let matches = vary::matches(&head.vary, &self.asked.headers);
        (!matches).then(|| vary::select_like(&head.vary, &self.asked.headers))
    }

    fn is_not_modified(&self, head: &Head) -> bool {
        conditional::is_not_modified(&self.asked.method, &self.asked.headers, head.status, &head.headers)
    }

    fn validated<R>(&self, entry: &Entry, mut handling: Handling) -> Response<CacheBody<R>> {
        let now = self.engine.now();
        handling.status = Some(StatusCode::NOT_MODIFIED);
        handling.ttl = Some(freshness::ttl(entry.head(), now));
        self.serve(entry, &handling, now)
    }

    fn on_error<R>(&self, entry: &Entry, status: Option<StatusCode>, mut handling: Handling) -> Response<CacheBody<R>> {
        let now = self.engine.now();
        handling.status = status;
        handling.ttl = Some(freshness::ttl(entry.head(), now));
        handling.detail = Some("stale-if-error");
        self.serve(entry, &handling, now)
    }

    fn serve<R>(&self, entry: &Entry, handling: &Handling, now: SystemTime) -> Response<CacheBody<R>> {
        self.engine.serve(&self.asked.method, &self.asked.headers, self.key, entry, handling, now)
    }
}
