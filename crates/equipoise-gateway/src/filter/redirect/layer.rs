use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use equipoise_proxy::__private::{normalized_path, redirect_status};
use http::{HeaderValue, Request, Response, header::LOCATION};
use tower_layer::Layer;
use tower_service::Service;

use super::rule::{InvalidRedirect, Kind, RedirectRule};
use crate::{ReplyBody, ReplyFuture};

/// A layer that answers requests with redirects. The first [rule](RedirectRule) that applies decides.
///
/// A request is passed on if its location would be its own target. The target `*` is not redirected, and neither are
/// gRPC calls, whose clients follow no redirects.
#[derive(Clone, Debug)]
pub struct RedirectLayer {
    rules: Arc<[RedirectRule]>,
    redirected: Arc<AtomicU64>,
}

/// What a [`RedirectLayer`] has counted since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedirectStats {
    /// The number of requests that were answered with a redirect.
    pub redirected: u64,
}

impl RedirectLayer {
    /// Creates a layer with rules.
    ///
    /// # Errors
    ///
    /// [`InvalidRedirect`] names the first rule that is invalid, or that would redirect its own target again.
    pub fn new(rules: impl IntoIterator<Item = RedirectRule>) -> Result<Self, InvalidRedirect> {
        let rules: Arc<[RedirectRule]> = rules.into_iter().collect();
        for rule in &*rules {
            rule.check().map_err(|(text, valid)| InvalidRedirect { rule: rule.text.clone(), text, valid })?;
        }
        let slashes: HashSet<bool> = rules
            .iter()
            .filter(|rule| rule.hosts.is_empty())
            .filter_map(|rule| match rule.kind {
                Kind::AddSlash => Some(true),
                Kind::RemoveSlash => Some(false),
                _ => None,
            })
            .collect();
        if slashes.len() > 1 {
            return Err(InvalidRedirect {
                rule: "slash at the end".to_owned(),
                text: String::new(),
                valid: "either add slashes or remove them",
            });
        }
        let layer = Self { rules, redirected: Arc::default() };
        match layer.rules.iter().find(|rule| layer.is_endless(rule)) {
            None => Ok(layer),
            Some(rule) => Err(InvalidRedirect {
                rule: rule.text.clone(),
                text: String::new(),
                valid: "its target is redirected by other rules again and again; use another target",
            }),
        }
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> RedirectStats {
        RedirectStats { redirected: self.redirected.load(Ordering::Relaxed) }
    }

    /// Returns whether a path of a rule is redirected more often than there are rules, on a site without a name.
    fn is_endless(&self, rule: &RedirectRule) -> bool {
        let Some(mut path) = rule.example() else { return false };
        for _ in 0..=self.rules.len() {
            let Ok(request) = Request::get(path.as_str()).body(()) else { return false };
            let Some(location) =
                self.find(&request).and_then(|(_, location)| location.to_str().ok().map(str::to_owned))
            else {
                return false;
            };
            if !location.starts_with('/') {
                return false;
            }
            path = location;
        }
        true
    }

    fn find<B>(&self, request: &Request<B>) -> Option<(&RedirectRule, HeaderValue)> {
        let normalized = normalized_path(request.uri().path());
        self.rules.iter().find_map(|rule| Some((rule, rule.location(request, &normalized)?)))
    }

    fn respond<B, R>(&self, request: &Request<B>) -> Option<Response<ReplyBody<R>>> {
        let path = request.uri().path();
        if !path.starts_with('/') || equipoise_tower::__private::is_grpc(request.headers()) {
            return None;
        }
        let (rule, location) = self.find(request)?;
        self.redirected.fetch_add(1, Ordering::Relaxed);
        let mut response = Response::new(ReplyBody::own(""));
        *response.status_mut() = redirect_status(&rule.redirect);
        response.headers_mut().insert(LOCATION, location);
        Some(response)
    }
}

/// The service of a [`RedirectLayer`].
#[derive(Clone, Debug)]
pub struct Redirects<S> {
    inner: S,
    layer: RedirectLayer,
}

impl<S> Layer<S> for RedirectLayer {
    type Service = Redirects<S>;

    fn layer(&self, inner: S) -> Redirects<S> {
        Redirects { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Redirects<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.layer.respond(&request) {
            Some(response) => ReplyFuture::own(response),
            None => ReplyFuture::inner(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests;
