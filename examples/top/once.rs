//! The state as plain tables, for scripts.

use crate::{
    format::{aligned, count, milliseconds, span},
    model::{Endpoint, Model},
};

/// Returns a table for all endpoints of all pools.
pub(crate) fn table(model: &Model) -> String {
    let head = [
        "POOL",
        "ENDPOINT",
        "STATE",
        "SINCE",
        "WEIGHT",
        "IN-FLIGHT",
        "LIMIT",
        "RATE",
        "ERRORS",
        "P50",
        "P99",
        "ATTEMPTS",
        "FAILED",
        "REASON",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for pool in &model.pools {
        let row = |endpoint: &Endpoint| {
            let (shown, newest) = (&endpoint.shown, endpoint.history.newest());
            vec![
                pool.name.to_string(),
                shown.id.to_string(),
                shown.availability.to_string(),
                endpoint.since(model.uptime).map_or_else(|| "–".to_owned(), |since| span(since).replace(' ', "")),
                count(shown.weight),
                shown.in_flight.to_string(),
                shown.max_in_flight.map_or_else(|| "–".to_owned(), |max| max.to_string()),
                count(newest.rate),
                count(newest.errors),
                milliseconds(newest.p50),
                milliseconds(newest.p99),
                shown.requests.total.to_string(),
                shown.requests.failed().to_string(),
                endpoint.reason(),
            ]
        };
        lines.extend(pool.endpoints.iter().map(row));
    }
    aligned(&lines)
}
