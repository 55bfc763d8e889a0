use std::sync::Arc;

use bytes::Bytes;
use equipoise_tower::{BoxError, TunnelLease, refuse_response};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, EXPECT, HOST, MAX_FORWARDS, SEC_WEBSOCKET_ACCEPT, TE, TRANSFER_ENCODING, UPGRADE},
};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

use super::{
    inspect::inspect,
    settings::Settings,
    unanswered::{Failed, Unanswered},
};
use crate::{
    body::{First, ProxyBody, RequestBody, ResponseWatch},
    check::{InvalidResponse, Refusal, is_extended_connect},
    error::ProxyError,
    headers::{
        HostRule, OriginalHost, join_cookies, normalize_request, normalize_response, remove_hop_by_hop,
        remove_unusual_names, requested_upgrade, te_trailers,
    },
    seen::Seen,
    tunnel::WebSocketKey,
};

/// What a proxy keeps of a request until the response.
#[derive(Debug)]
pub(super) struct Exchange {
    settings: Arc<Settings>,
    asked: Unanswered,
    /// When the whole request must have ended.
    pub(super) total: Option<Instant>,
    upgrade: Option<Upgrade>,
}

/// A request to switch to another protocol.
#[derive(Debug)]
struct Upgrade {
    /// The connection to the client, once it has switched.
    client: OnUpgrade,
    /// The protocols that the client named.
    protocols: HeaderValue,
    /// The key of a WebSocket on an HTTP/2 stream. `None` for an upgrade of an HTTP/1.1 connection, whose client has the
    /// key itself.
    key: Option<WebSocketKey>,
}

/// What happens to a request.
pub(super) enum Next<B> {
    /// It goes to the inner service.
    Forward(Request<RequestBody<B>>),
    /// The proxy itself answers it.
    Respond(Response<Bytes>),
}

impl Exchange {
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Checks a request and changes it to the one that the inner service gets.
    pub(super) fn begin<B>(settings: Arc<Settings>, mut request: Request<B>) -> (Self, Next<B>)
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let total = settings.timeouts.total.and_then(|total| Instant::now().checked_add(total));
        let asked = Unanswered::of(&request);
        let mut exchange = Self { settings, asked, total, upgrade: None };
        let next = match exchange.prepare(&mut request) {
            Ok(None) => Next::Forward(request.map(|body| exchange.limited(body))),
            Ok(Some(response)) => Next::Respond(exchange.completed(&request, response)),
            Err(refusal) => Next::Respond(exchange.completed(&request, exchange.failed(refusal.into()))),
        };
        (exchange, next)
    }

    /// Checks and changes the head of a request. Returns the response if the proxy itself answers the request.
    fn prepare<B: Body>(&mut self, request: &mut Request<B>) -> Result<Option<Response<Bytes>>, Refusal> {
        let settings = Arc::clone(&self.settings);
        let seen = settings.checks.inspect(request)?;
        if let Some(max) = settings.max_body_bytes
            && request.body().size_hint().lower() > max
        {
            return Err(Refusal::BodyTooLarge);
        }
        if settings.via.as_ref().is_some_and(|via| via.is_loop(request.headers())) {
            return Err(Refusal::Loop);
        }
        if matches!(*request.method(), Method::OPTIONS | Method::TRACE) && is_last_hop(request.headers_mut()) {
            return match *request.method() {
                Method::TRACE => Err(Refusal::Trace),
                _ => Ok(Some(Response::new(Bytes::new()))),
            };
        }
        let has_body = !request.body().is_end_stream();
        self.upgrade = self.take_upgrade(request, seen, has_body)?;
        let accepts_trailers = seen.te && te_trailers(request.headers());

        let headers = request.headers_mut();
        if seen.hop_by_hop || seen.transfer_encoding {
            remove_hop_by_hop(headers);
        }
        // HTTP/1.0 has no expectations, and its clients understand no interim response.
        if seen.expect && self.asked.version() < Version::HTTP_11 {
            headers.remove(EXPECT);
        }
        if seen.unusual_name {
            remove_unusual_names(headers);
        }
        if seen.cookies > 1 && self.asked.version() >= Version::HTTP_2 {
            join_cookies(headers);
        }
        // On an HTTP/1.1 connection, `Connection` must name `TE` (RFC 9110, section 10.1.4). The version of the
        // endpoint's connection is known to its client only, and `equipoise-http` does so. With HTTP/2, hyper would
        // remove the field that `Connection` names, and gRPC needs it.
        if accepts_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        self.forward_host(request, seen)?;
        if seen.content_length || has_body {
            let method = request.method().clone();
            let exact = request.body().size_hint().exact();
            normalize_request(&method, request.headers_mut(), has_body, exact)?;
        }
        let headers = request.headers_mut();
        if let Some(via) = &settings.via {
            via.append(self.asked.version(), headers);
        }
        if let Some(upgrade) = &self.upgrade {
            ask_for_upgrade(headers, upgrade);
        }
        // Each connection has a version of its own. A client that speaks HTTP/2 only ignores this one.
        self.asked.note(request);
        *request.version_mut() = Version::HTTP_11;
        Ok(None)
    }

    /// Returns the body of a request with its limits.
    fn limited<B>(&self, body: B) -> RequestBody<B>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let Settings { checks, max_body_bytes, timeouts, .. } = &*self.settings;
        RequestBody::new(body, *max_body_bytes, checks.removes_unusual_names(), timeouts.idle, self.total)
    }

    /// Sets `Host`, the target and the forwarding fields. The latter tell the host that the client asked for.
    fn forward_host<B>(&self, request: &mut Request<B>, seen: Seen) -> Result<(), Refusal> {
        HostRule::keep().apply(request)?;
        self.settings.forwarding.apply_to(request, seen.forwarding);
        if self.settings.host == HostRule::keep() {
            // A proxy in front of this one in the same process may have replaced the host. Its routes are not these.
            request.extensions_mut().remove::<OriginalHost>();
            return Ok(());
        }
        if let Some(host) = request.headers().get(HOST).cloned() {
            request.extensions_mut().insert(OriginalHost(host));
        }
        self.settings.host.apply(request)
    }

    /// Takes the client's connection if the request asks for another protocol. A request with a body is forwarded
    /// without its `Upgrade`, as RFC 9110 allows.
    fn take_upgrade<B>(
        &self,
        request: &mut Request<B>,
        seen: Seen,
        has_body: bool,
    ) -> Result<Option<Upgrade>, Refusal> {
        if *request.method() == Method::CONNECT && is_extended_connect(request) {
            if !self.settings.upgrades {
                return Err(Refusal::Connect);
            }
            let client = hyper::upgrade::on(&mut *request);
            *request.method_mut() = Method::GET;
            // A client for HTTP/2 would add `:protocol`, which is allowed with `CONNECT` only.
            #[cfg(feature = "http2")]
            request.extensions_mut().remove::<hyper::ext::Protocol>();
            let (protocols, key) = (HeaderValue::from_static("websocket"), Some(WebSocketKey::random()));
            return Ok(Some(Upgrade { client, protocols, key }));
        }
        if !self.settings.upgrades || !seen.upgrade || has_body || self.asked.version() != Version::HTTP_11 {
            return Ok(None);
        }
        let protocols = requested_upgrade(request.headers());
        Ok(protocols.map(|protocols| Upgrade { client: hyper::upgrade::on(request), protocols, key: None }))
    }

    /// Returns whether the first frame of a response is read before the response is forwarded. If the first chunk of a
    /// body is malformed, the client then gets status 502. As with requests, the response is not held back any longer
    /// than the task takes to run a second time.
    pub(super) fn reads_ahead<B: Body>(&self, response: &Response<B>) -> bool {
        let is_chunked = response.headers().contains_key(TRANSFER_ENCODING) && !response.body().is_end_stream();
        // Once it was read, a response that is refused could count as a success of its endpoint.
        is_chunked && self.inspect(response).is_ok()
    }

    /// Turns the response of the inner service into the one that the client gets.
    /// `first` is what has been read of its body.
    pub(super) fn finish<B>(
        &mut self,
        response: Response<B>,
        first: First,
        watch: Option<ResponseWatch>,
    ) -> Response<ProxyBody<B>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        match self.inspect(&response) {
            Ok(_) if response.status() == StatusCode::SWITCHING_PROTOCOLS => match self.chosen_protocol(&response) {
                Some((Upgrade { key: Some(key), .. }, _)) if !key.is_proved_by(response.headers()) => {
                    self.refuse(response, InvalidResponse::NotSwitched)
                }
                Some((upgrade, chosen)) => self.switch(response, upgrade, chosen),
                None => self.refuse(response, InvalidResponse::Unrequested),
            },
            Ok(seen) => self.accept(response, first, seen, watch),
            Err(invalid) => self.refuse(response, invalid),
        }
    }

    /// Drops a response that must not be forwarded, so that it counts as a failure of the endpoint.
    fn refuse<B>(&self, response: Response<B>, invalid: InvalidResponse) -> Response<ProxyBody<B>> {
        refuse_response(response);
        self.fail(ProxyError::InvalidResponse(invalid))
    }

    /// Checks whether the response can be forwarded. Returns which fields it has.
    fn inspect<B: Body>(&self, response: &Response<B>) -> Result<Seen, InvalidResponse> {
        let seen = inspect(response, self.asked.is_head())?;
        if response.status().is_success() && self.upgrade.as_ref().is_some_and(|upgrade| upgrade.key.is_some()) {
            return Err(InvalidResponse::NotSwitched);
        }
        Ok(seen)
    }

    fn accept<B>(
        &self,
        mut response: Response<B>,
        first: First,
        seen: Seen,
        watch: Option<ResponseWatch>,
    ) -> Response<ProxyBody<B>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (received, status) = (response.version(), response.status());
        // A layer inside has responded for the proxy. The field is removed with those of the connection to the endpoint.
        let closes = response.extensions().get().is_some_and(|Failed(error)| error.closes(self.asked.version()));
        let headers = response.headers_mut();
        if seen.hop_by_hop || seen.transfer_encoding {
            remove_hop_by_hop(headers);
        }
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if seen.content_length {
            normalize_response(status, headers, seen.transfer_encoding);
        }
        if let Some(via) = &self.settings.via {
            via.append(received, headers);
        }
        *response.version_mut() = Version::HTTP_11;
        let (idle, total) = (self.settings.timeouts.idle, self.total);
        response.map(|body| ProxyBody::forward(body, first, idle, total, watch))
    }

    /// Returns the protocol to which the endpoint switches, with the request for it. `None` if it was not asked for.
    fn chosen_protocol<B>(&mut self, response: &Response<B>) -> Option<(Upgrade, HeaderValue)> {
        let chosen = requested_upgrade(response.headers())?;
        let upgrade = self.upgrade.take()?;
        is_among(&chosen, &upgrade.protocols).then_some((upgrade, chosen))
    }

    /// Opens a tunnel.
    fn switch<B>(&self, mut response: Response<B>, upgrade: Upgrade, chosen: HeaderValue) -> Response<ProxyBody<B>> {
        let mut lease: Option<TunnelLease> = response.extensions_mut().remove();
        if let Some(lease) = &mut lease {
            lease.accept();
        }
        let endpoint = hyper::upgrade::on(&mut response);
        if !self.settings.tunnels.spawn(upgrade.client, endpoint, lease) {
            return self.fail(ProxyError::InvalidResponse(InvalidResponse::Unrequested));
        }
        let headers = response.headers_mut();
        remove_hop_by_hop(headers);
        normalize_response(StatusCode::SWITCHING_PROTOCOLS, headers, false);
        if upgrade.key.is_some() {
            // The HTTP/2 stream itself becomes the tunnel (RFC 8441, section 5).
            headers.remove(SEC_WEBSOCKET_ACCEPT);
            *response.status_mut() = StatusCode::OK;
        } else {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, chosen);
        }
        *response.version_mut() = Version::HTTP_11;
        response.map(|_| ProxyBody::empty())
    }

    /// Returns the response for an error.
    pub(super) fn fail<B>(&self, error: ProxyError) -> Response<ProxyBody<B>> {
        self.failed(error).map(ProxyBody::from_bytes)
    }

    /// Returns the response for an error, as its parts that the proxy knows.
    pub(super) fn failed(&self, error: ProxyError) -> Response<Bytes> {
        self.asked.respond_to(error, &self.settings.errors)
    }

    /// Completes the response to a request that the inner service has not got.
    pub(super) fn completed<B>(&self, request: &Request<B>, response: Response<Bytes>) -> Response<Bytes> {
        match &self.settings.complete {
            Some(complete) => complete.apply(request, response),
            None => response,
        }
    }
}

/// Returns whether the request must not be forwarded any further. Otherwise, counts this proxy (RFC 9110, section
/// 7.6.2).
fn is_last_hop(headers: &mut HeaderMap) -> bool {
    let Some(left) = headers.get(MAX_FORWARDS).and_then(|value| value.to_str().ok()?.parse::<u64>().ok()) else {
        return false;
    };
    if let Some(left) = left.checked_sub(1) {
        headers.insert(MAX_FORWARDS, left.into());
        return false;
    }
    true
}

/// Adds the fields with which the endpoint is asked to switch protocols.
fn ask_for_upgrade(headers: &mut HeaderMap, upgrade: &Upgrade) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, upgrade.protocols.clone());
    if let Some(key) = &upgrade.key {
        key.add_to(headers);
    }
}

/// Returns whether a protocol is in a list. Names of protocols are case-insensitive.
fn is_among(chosen: &HeaderValue, protocols: &HeaderValue) -> bool {
    let chosen = chosen.as_bytes().trim_ascii();
    protocols.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_forwards_is_counted_down() {
        let mut headers = HeaderMap::new();
        assert!(!is_last_hop(&mut headers));
        headers.insert(MAX_FORWARDS, HeaderValue::from_static("1"));
        assert!(!is_last_hop(&mut headers));
        assert_eq!(headers[MAX_FORWARDS], "0");
        assert!(is_last_hop(&mut headers));
    }

    #[test]
    fn the_endpoint_chooses_one_of_the_protocols() {
        let value = HeaderValue::from_static;
        assert!(is_among(&value("WebSocket"), &value("a, websocket")));
        assert!(!is_among(&value("a, websocket"), &value("a, websocket")));
        assert!(!is_among(&value("b"), &value("a")));
    }
}
