//! What the monitor reads: the pools and the listeners of the gateway.

use std::sync::Arc;

use equipoise::{
    PickRequest,
    monitor::{
        WatchedListener, WatchedPool,
        page::{ExplainAnswer, ExplainQuestion},
        report::Reading,
    },
    tower::RequestHead,
};

use super::{
    explain::pick,
    state::{ListenerState, State},
};
use crate::{backend::Backend, client::Client, config::Mode, front::Front, routes::NO_ROUTE, serving::AnyServer};

/// Returns the pools of a state.
pub(crate) fn pools(state: &State) -> Vec<WatchedPool> {
    let fronts = state.listeners.iter().filter_map(|listener| match &listener.serving.server {
        AnyServer::Http(_, front) => Some((listener.name(), front.clone())),
        _ => None,
    });
    let fronts: Arc<[_]> = fronts.collect();
    state.pools.iter().map(|(name, backend)| pool(name, backend, &fronts)).collect()
}

fn pool(name: &str, backend: &Backend, fronts: &Arc<[(String, Front)]>) -> WatchedPool {
    let mut watched = WatchedPool::new(name, &backend.pool).health(&backend.health);
    if backend.table.affinity.is_some() {
        watched = watched.affinity(&backend.affinity);
    }
    let (backend, fronts) = (backend.clone(), Arc::clone(fronts));
    watched.explain_with(move |question| {
        let (backend, fronts) = (backend.clone(), Arc::clone(&fronts));
        async move { Ok(explain(&backend, &fronts, question).await) }
    })
}

/// Explains the pick of a pool, and says to which pools the listeners send the request.
async fn explain(backend: &Backend, fronts: &[(String, Front)], question: ExplainQuestion) -> ExplainAnswer {
    let ExplainQuestion { mut request, client, key, .. } = question;
    if let Some(client) = client {
        request.extensions_mut().insert(Client(client));
    }
    let answer = match &key {
        Some(key) => ExplainAnswer::from(backend.pool.explain(&PickRequest::new().key(key))),
        None => pick(backend, &request).await,
    };
    fronts.iter().fold(answer, |answer, (listener, front)| {
        let site = front.site();
        answer.step(match site.router.routes().find(RequestHead::of(&request)) {
            Ok(found) if found.name() == NO_ROUTE => format!("listener {listener}: no route matches"),
            Ok(found) => format!("listener {listener} sends the request to pool {}", found.name()),
            Err(missed) => format!("listener {listener}: {missed}"),
        })
    })
}

/// Returns the listeners of a state. A listener with mode "sni" is several ones: one for the connections to each pool, and
/// one for what comes before the pool is known.
pub(crate) fn listeners(state: &State) -> Vec<WatchedListener> {
    state.listeners.iter().flat_map(listener).collect()
}

fn listener(listener: &ListenerState) -> Vec<WatchedListener> {
    let name = listener.name();
    let watched = |mode: Mode| WatchedListener::new(name.as_str(), mode.name());
    let mut others = Vec::new();
    let first = match &listener.serving.server {
        AnyServer::Http(server, front) => {
            let front = front.clone();
            let requests = move |readings: &mut Vec<Reading>| {
                readings.push(Reading::counter(
                    "requests",
                    "Requests that were passed on to a route.",
                    front.requests(),
                ));
            };
            watched(Mode::Http).server(server).readings(requests)
        }
        AnyServer::Tcp(proxy) => watched(Mode::Tcp).tcp(proxy),
        AnyServer::Udp(proxy) => watched(Mode::Udp).udp(proxy),
        AnyServer::Forward(server, forward) => watched(Mode::Forward).server(server).forward(&forward.proxy()),
        AnyServer::Sni(server) => {
            let of_pool = |(pool, proxy)| WatchedListener::new(format!("{name}/{pool}"), "sni").tcp(&proxy);
            others.extend(server.proxies().into_iter().map(of_pool));
            server.watched(watched(Mode::Sni))
        }
        AnyServer::Admin(_) => return Vec::new(),
    };
    let acceptors = &listener.serving.acceptors;
    let first = acceptors.headers.iter().fold(first, WatchedListener::proxy_protocol);
    let first = acceptors.tls.iter().fold(first, WatchedListener::tls);
    std::iter::once(first).chain(others).collect()
}
