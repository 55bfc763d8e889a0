//! Carries out a command on the health checks of a pool.

use http::{Response, StatusCode};

use super::{command::Command, operator::Operator};
use crate::{
    monitor::Monitor,
    page::{body::PageBody, reply::Problem},
    source::WatchedPool,
};

/// Sets the administrative state of an endpoint, and waits until the pool has applied it.
#[cfg(feature = "health")]
pub(super) async fn apply(
    monitor: &Monitor,
    pool: &WatchedPool,
    command: &Command,
    operator: &Operator,
) -> Result<Response<PageBody>, Problem> {
    use std::sync::Arc;

    use equipoise_health::AdminState;
    use serde::Serialize;

    use super::command::State;
    use crate::{
        live::MonitorEventKind,
        page::{reply, state::Endpoint},
    };

    /// How long the answer waits until the pool has applied the command.
    const MAX_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

    #[derive(Serialize)]
    struct Applied<'a> {
        pool: &'a str,
        /// The administrative state that was set.
        state: &'static str,
        /// Whether the pool has the availability that follows. If not, it will have it soon.
        applied: bool,
        endpoint: Endpoint,
    }

    let id = command.endpoint.as_str();
    let endpoints = pool.pool.status().endpoints;
    let before = endpoints.into_iter().find(|status| status.id.as_str() == id).ok_or_else(|| no_endpoint(command))?;
    let health = pool.health.as_ref().ok_or_else(|| no_health(command))?;
    let state = match command.state {
        State::Ready => AdminState::Ready,
        State::Drain => AdminState::Drain { deadline: None },
        State::Maintenance => AdminState::Maintenance,
    };
    // Created before the state is set, so that no change is missed.
    let mut changes = health.changes();
    health.set_admin_state(id, state);
    monitor.record(MonitorEventKind::Command {
        pool: Arc::clone(&pool.name),
        endpoint: id.into(),
        state: command.state.as_str(),
        by: operator.name.clone(),
    });
    let decided = || health.status(id).map(|status| status.availability);
    let applied = async {
        let mut current = Some(before.availability);
        // A change is told after the pool has applied it.
        while current != decided() {
            match changes.next().await {
                Some(change) if change.id.as_str() == id => current = Some(change.to),
                Some(_) => {}
                None => return false,
            }
        }
        true
    };
    let applied = tokio::time::timeout(MAX_WAIT, applied).await.unwrap_or(false);
    let report = pool.report().endpoints.into_iter().find(|report| report.status.id.as_str() == id);
    let endpoint = Endpoint::new(&report.ok_or_else(|| no_endpoint(command))?);
    reply::json(&Applied { pool: &pool.name, state: command.state.as_str(), applied, endpoint })
}

/// Refuses the command: without the feature `health`, no pool has health checks.
#[cfg(not(feature = "health"))]
pub(super) async fn apply(
    _: &Monitor,
    pool: &WatchedPool,
    command: &Command,
    _: &Operator,
) -> Result<Response<PageBody>, Problem> {
    let has_endpoint = pool.pool.status().endpoints.iter().any(|status| status.id.as_str() == command.endpoint);
    Err(if has_endpoint { no_health(command) } else { no_endpoint(command) })
}

fn no_endpoint(Command { pool, endpoint, .. }: &Command) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("the pool {pool:?} has no endpoint {endpoint:?}"))
}

fn no_health(Command { pool, .. }: &Command) -> Problem {
    let text = format!("the states of endpoints in the pool {pool:?} cannot be set, because its health is not watched");
    Problem::new(StatusCode::CONFLICT, text)
}
