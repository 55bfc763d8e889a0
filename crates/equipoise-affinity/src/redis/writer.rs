use redis::Value;
use tokio::{sync::mpsc, time::timeout};

use super::{
    script,
    shared::{Shared, Write, read},
};
use crate::{
    StoreError,
    link::{Live, is_unknown_script},
};

/// Maximum number of writes in one round trip. It is small, so that the lookups behind them are not delayed much.
const BATCH: usize = 64;

/// Writes the entries of the queue to the server, in order and in batches. Never finishes while the queue is open.
pub(super) async fn write(shared: &Shared, mut queue: mpsc::Receiver<Write>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        match shared.link.live() {
            Some(live) => {
                let unknown = round(shared, &live, std::mem::take(&mut batch), false).await;
                if !unknown.is_empty() {
                    round(shared, &live, unknown, true).await;
                }
            }
            None => batch.drain(..).for_each(|write| failed(shared, &write)),
        }
    }
}

/// Writes a batch in one round trip. Returns the writes whose script the server does not know. With `text`, sends the
/// text of the scripts instead of their names.
async fn round(shared: &Shared, live: &Live, batch: Vec<Write>, text: bool) -> Vec<Write> {
    let commands = batch.iter().map(|write| match &write.entry.bound {
        Some(_) => shared.bind_command(&write.key, &write.entry, text),
        None => script::end(&write.key.under(&shared.settings.prefix)),
    });
    let before = live.answers();
    let mut answers = std::pin::pin!(live.ask_all(commands.collect()));
    let answers = match timeout(shared.settings.lookup_timeout, &mut answers).await {
        Ok(answers) => answers,
        Err(_) => {
            live.report_timeout(before);
            answers.await
        }
    };
    let mut answers = answers.unwrap_or_default().into_iter();
    let mut unknown = Vec::new();
    for write in batch {
        match answers.next() {
            Some(answer) if !text && is_unknown_script(&answer) => unknown.push(write),
            Some(answer) => settle(shared, live, &write, answer),
            None => failed(shared, &write),
        }
    }
    unknown
}

fn settle(shared: &Shared, live: &Live, write: &Write, answer: Value) {
    let holds = match (&write.entry.bound, answer) {
        (None, Value::Int(_)) => None,
        (None, answer) => match read(answer) {
            Err(StoreError::Unavailable { .. }) => return failed(shared, write),
            _ => return garbage(shared, write),
        },
        (Some(_), answer) => match read(answer) {
            Ok(holds) => holds,
            Err(StoreError::Malformed { .. }) => return garbage(shared, write),
            Err(StoreError::Unavailable { .. }) => return failed(shared, write),
        },
    };
    shared.counters.writes.count();
    if holds.as_ref().is_some_and(|holds| Some(&holds.endpoint) != write.entry.bound.as_ref()) {
        shared.counters.races_lost.count();
    }
    shared.cache.written(&write.key, &write.entry, holds, shared.now(), live.epoch);
}

fn failed(shared: &Shared, write: &Write) {
    write.entry.end_write();
    shared.counters.writes_dropped.count();
}

fn garbage(shared: &Shared, write: &Write) {
    tracing::debug!(key = ?write.key, "the session store answered a write with something other than a binding");
    failed(shared, write);
}
