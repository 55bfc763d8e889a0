//! Commands that set the administrative state of endpoints.

use std::time::Duration;

use equipoise::{
    affinity::source::PeerAddr, gateway::cache::PurgeError, health::AdminState, monitor::live::MonitorEventKind,
};
use http::{StatusCode, request::Parts};
use percent_encoding::percent_decode_str;

use super::{
    answer::{Answer, Problem, text},
    state::{Running, State},
};
use crate::{
    backend::Backend,
    functions::{self, Purged},
};

/// Sets the administrative state of an endpoint, in all pools that have it.
pub(super) async fn command(running: &Running, id: &str, word: &str, head: &Parts) -> Answer {
    let operator = running.state().access.operator(&head.headers)?;
    let id = percent_decode_str(id).decode_utf8_lossy();
    let id = &*id;
    let (admin_state, word) = match word {
        "drain" => (AdminState::Drain { deadline: None }, "drain"),
        "ready" => (AdminState::Ready, "ready"),
        "maintenance" => (AdminState::Maintenance, "maintenance"),
        _ => {
            let message = format!("there is no {word:?}: use drain, ready or maintenance");
            return Err(Problem::new(StatusCode::NOT_FOUND, message));
        }
    };
    let (mut only, mut done) = (None, String::new());
    for (key, value) in form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
        match &*key {
            "pool" => only = Some(value.into_owned()),
            _ => {
                let message = format!("there is no parameter {key:?}: use pool");
                return Err(Problem::new(StatusCode::BAD_REQUEST, message));
            }
        }
    }
    for (name, backend) in ordered(running, id, only.as_deref(), admin_state) {
        running.monitor.record(MonitorEventKind::Command {
            pool: name.as_str().into(),
            endpoint: id.into(),
            state: word,
            by: sender(&operator, head),
        });
        done += &format!("{name}: {id} is {}\n", settled(&backend, id).await);
    }
    match done.is_empty() {
        true => {
            let message = format!("no such pool has an endpoint {id:?}: see GET /endpoints");
            Err(Problem::new(StatusCode::NOT_FOUND, message))
        }
        false => Ok(text(done)),
    }
}

/// Returns who has sent a command: the name of the operator, or the address of the program.
fn sender(operator: &str, head: &Parts) -> String {
    match (operator, head.extensions.get()) {
        ("", Some(PeerAddr(peer))) => peer.ip().to_string(),
        ("", None) => "a program".to_owned(),
        (operator, _) => operator.to_owned(),
    }
}

/// Gives the command to the pools, and returns them. A reload does not replace them meanwhile.
fn ordered(running: &Running, id: &str, only: Option<&str>, admin_state: AdminState) -> Vec<(String, Backend)> {
    let _not_during_a_reload = running.hold_commands();
    let state = running.state();
    let pools = state
        .pools
        .iter()
        .filter(|(name, backend)| only.is_none_or(|only| only == *name) && backend.pool.availability(id).is_some());
    let ordered = pools.map(|(name, backend)| {
        backend.health.set_admin_state(id, admin_state);
        (name.clone(), backend.clone())
    });
    ordered.collect()
}

/// Waits until the pool has the availability that its health has decided, and returns it.
async fn settled(backend: &Backend, id: &str) -> String {
    let mut revision = backend.pool.revision();
    let applied = async {
        loop {
            let availability = backend.pool.availability(id);
            if availability == backend.health.status(id).map(|status| status.availability) {
                return availability;
            }
            revision = backend.pool.changed(revision).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(1), applied).await {
        Ok(Some(availability)) => availability.to_string(),
        Ok(None) => "removed".to_owned(),
        Err(_) => "changing".to_owned(),
    }
}

/// Removes responses from caches. The query has one of `url`, `prefix`, `tag` and `all`, and perhaps the store in `cache`.
pub(super) async fn purge_cache(state: &State, head: &Parts) -> Answer {
    state.access.operator(&head.headers)?;
    let wrong = |message: String| Problem::new(StatusCode::BAD_REQUEST, message);
    let (mut store, mut what) = (None, Vec::new());
    let query: Vec<_> = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).collect();
    for (key, value) in &query {
        match &**key {
            "cache" => store = Some(&**value),
            "url" => what.push(Purged::Url(value)),
            "prefix" => what.push(Purged::Prefix(value)),
            "tag" => what.push(Purged::Tag(value)),
            "all" => what.push(Purged::All),
            _ => return Err(wrong(format!("there is no parameter {key:?}: use url, prefix, tag or all, and cache"))),
        }
    }
    let [what] = &what[..] else {
        return Err(wrong("say what to remove, by one of url, prefix, tag and all".to_owned()));
    };
    match functions::purge(&state.functions, store, what).await {
        Ok(Some(count)) => Ok(text(format!("{count} removed\n"))),
        Ok(None) => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such cache: see GET /functions")),
        Err(error @ PurgeError::Store(_)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        Err(error) => Err(wrong(error.to_string())),
    }
}
