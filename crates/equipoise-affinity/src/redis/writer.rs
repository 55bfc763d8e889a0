use std::sync::Arc;

use redis::Value;
use tokio::{sync::mpsc, time::timeout};

use super::{
    key::StoreKey,
    live::{Live, is_unknown_script},
    near::Entry,
    script,
    shared::{Shared, read},
};
use crate::StoreError;

/// Writes that go in one round trip. Enough for any rate; few enough that lookups behind them do not notice.
const BATCH: usize = 64;

/// A binding, or the end of one, that the server is to know of.
pub(super) struct Write {
    pub(super) key: StoreKey,
    pub(super) entry: Arc<Entry>,
}

/// Writes for as long as it is polled: in order, and whatever has come together at once.
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

/// One round trip; whose scripts the server does not know comes back.
async fn round(shared: &Shared, live: &Live, batch: Vec<Write>, text: bool) -> Vec<Write> {
    let commands = batch.iter().map(|write| match &write.entry.bound {
        Some(_) => shared.claim(live, &write.key, &write.entry, text),
        None => script::end(&write.key.under(&shared.settings.prefix)),
    });
    let before = live.answers();
    let mut answers = std::pin::pin!(live.ask_all(commands.collect()));
    let answers = match timeout(shared.settings.link.lookup_timeout, &mut answers).await {
        Ok(answers) => answers,
        Err(_) => {
            live.suspect(before);
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
            Err(StoreError::Away { .. }) => return failed(shared, write),
            _ => return garbage(shared, write),
        },
        (Some(_), answer) => match read(answer) {
            Ok(holds) => holds,
            Err(StoreError::Garbage { .. }) => return garbage(shared, write),
            Err(StoreError::Away { .. }) => return failed(shared, write),
        },
    };
    shared.counters.writes.count();
    if holds.as_ref().is_some_and(|holds| Some(&holds.endpoint) != write.entry.bound.as_ref()) {
        shared.counters.races_lost.count();
    }
    shared.near.written(&write.key, &write.entry, holds, shared.now(), live.epoch);
}

fn failed(shared: &Shared, write: &Write) {
    write.entry.write_ended();
    shared.counters.writes_dropped.count();
}

fn garbage(shared: &Shared, write: &Write) {
    tracing::debug!(key = ?write.key, "the session store answered a write with what is no binding");
    failed(shared, write);
}
