//! Writes events to the log, through `tracing`.

use std::fmt;

use equipoise_core::EndpointId;

use super::event::MonitorEventKind;

/// The target of the events in the log. Filters can name it.
const TARGET: &str = "equipoise::event";

/// The maximum number of ids in one field of a log line.
const MAX_SHOWN: usize = 20;

/// Writes an event to the log: one event of `tracing`. Changes by health checks are left out, because
/// `equipoise-health` logs them.
///
/// Texts are fields, and never a part of the message: so a formatter escapes them.
pub(super) fn log(kind: &MonitorEventKind) {
    match kind {
        MonitorEventKind::Health { pool, endpoint, from, to, source, .. } => {
            if *source == super::feed::SOURCE_POOL {
                tracing::info!(target: TARGET, pool = &**pool, endpoint = endpoint.as_str(), from, to, "availability changed");
            }
        }
        MonitorEventKind::Membership { pool, added, removed, replaced, changed, retargeted, unlisted } => {
            tracing::info!(
                target: TARGET,
                pool = &**pool,
                added = ?Listed(added),
                removed = ?Listed(removed),
                replaced = ?Listed(replaced),
                changed = ?Listed(changed),
                retargeted = ?Listed(retargeted),
                unlisted,
                "membership changed"
            );
        }
        MonitorEventKind::LimitChanged { pool, endpoint, from, to } => {
            tracing::info!(target: TARGET, pool = &**pool, endpoint = endpoint.as_str(), from, to, "limit changed");
        }
        MonitorEventKind::WeightChanged { pool, endpoint, from, to } => {
            tracing::info!(target: TARGET, pool = &**pool, endpoint = endpoint.as_str(), from, to, "weight changed");
        }
        MonitorEventKind::PoolAdded { pool } => tracing::info!(target: TARGET, pool = &**pool, "pool added"),
        MonitorEventKind::PoolRemoved { pool } => tracing::info!(target: TARGET, pool = &**pool, "pool removed"),
        MonitorEventKind::PoolReplaced { pool } => tracing::info!(target: TARGET, pool = &**pool, "pool replaced"),
        MonitorEventKind::Reloaded { result: "ok", detail } => {
            tracing::info!(target: TARGET, result = "ok", detail = detail.as_str(), "configuration reloaded");
        }
        MonitorEventKind::Reloaded { result, detail } => {
            tracing::error!(target: TARGET, result, detail = detail.as_str(), "configuration not reloaded");
        }
        MonitorEventKind::Command { pool, endpoint, state, by } => {
            tracing::info!(
                target: TARGET,
                pool = &**pool,
                endpoint = endpoint.as_str(),
                state,
                by = by.as_str(),
                "administrative state set"
            );
        }
        MonitorEventKind::CertificateExpiring { listener, source, names, expires_in } => {
            // The acceptor of the listener warns, also if there is no monitor.
            tracing::info!(
                target: TARGET,
                listener = listener.as_str(),
                source = source.as_str(),
                names = ?names,
                expires_in_seconds = expires_in.as_secs(),
                "certificate expires"
            );
        }
        MonitorEventKind::ChangesMissed { pool, changes } => {
            tracing::warn!(target: TARGET, pool = &**pool, changes, "changes missed");
        }
    }
}

/// The first ids of a list, and how many more there are.
struct Listed<'a>(&'a [EndpointId]);

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.0.iter().take(MAX_SHOWN));
        if let Some(more @ 1..) = self.0.len().checked_sub(MAX_SHOWN) {
            list.entry(&format_args!("and {more} more"));
        }
        list.finish()
    }
}
