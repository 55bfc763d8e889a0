use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    live::{Live, MonitorGuard},
    monitor::Monitor,
    page::{
        json::to_json,
        state::{PageState, Seen},
    },
};

/// The head of a message with the whole state. After the stream has ended, a browser waits for two seconds and connects
/// again.
const STATE: &str = "retry: 2000\nevent: state";

/// The head of a message with what has changed.
const UPDATE: &str = "event: update";

/// How many different updates of one tick are kept. Most clients have seen the same, and share one update.
const MAX_KEPT: usize = 16;

/// The messages for all clients. Each is made once, when the first client asks for it. Without clients, nothing is done.
pub(in crate::page) struct Feed {
    monitor: Monitor,
    live: watch::Receiver<Arc<Live>>,
    /// Makes new states, as long as there is a page or a stream.
    guard: Arc<MonitorGuard>,
    csrf_token: Option<String>,
    made: Mutex<Made>,
}

/// The messages of one tick.
struct Made {
    state: PageState,
    whole: Option<Bytes>,
    updates: Vec<(Seen, Bytes)>,
}

impl Feed {
    pub(in crate::page) fn new(monitor: Monitor, guard: Arc<MonitorGuard>) -> Self {
        let live = guard.live();
        let state = PageState::new(Arc::clone(&live.borrow()), monitor.recent());
        let made = Mutex::new(Made { state, whole: None, updates: Vec::new() });
        Self { monitor, live, guard, csrf_token: None, made }
    }

    /// Returns another feed of the same monitor, whose states contain the token.
    pub(in crate::page) fn with_csrf_token(&self, token: &str) -> Self {
        Self { csrf_token: Some(token.to_owned()), ..Self::new(self.monitor.clone(), Arc::clone(&self.guard)) }
    }

    /// Returns the state as JSON.
    pub(in crate::page) fn json(&self) -> Result<Bytes, serde_json::Error> {
        let mut made = self.made.lock();
        made.update(&self.live, &self.monitor);
        to_json(&made.state.whole(self.csrf_token.as_deref()))
    }

    /// Returns the whole state as a message.
    pub(super) fn whole(&self) -> Option<(Bytes, Seen)> {
        let mut made = self.made.lock();
        made.update(&self.live, &self.monitor);
        made.whole(self.csrf_token.as_deref())
    }

    /// Waits until there is a newer state than a client has seen, and returns a message with what has changed. `None`: the
    /// monitor has ended.
    pub(super) async fn newer(&self, seen: Seen) -> Option<(Bytes, Seen)> {
        self.live.clone().wait_for(|live| live.tick > seen.tick()).await.ok()?;
        let mut made = self.made.lock();
        made.update(&self.live, &self.monitor);
        let newest = made.state.seen();
        if let Some((_, message)) = made.updates.iter().find(|(from, _)| *from == seen) {
            return Some((message.clone(), newest));
        }
        let Some(update) = made.state.since(seen) else { return made.whole(self.csrf_token.as_deref()) };
        let message = message(UPDATE, newest, &update)?;
        drop(update);
        if made.updates.len() < MAX_KEPT {
            made.updates.push((seen, message.clone()));
        }
        Some((message, newest))
    }
}

impl Made {
    fn update(&mut self, live: &watch::Receiver<Arc<Live>>, monitor: &Monitor) {
        let live = Arc::clone(&live.borrow());
        if live.tick > self.state.seen().tick() {
            self.state.update(live, monitor.recent());
            (self.whole, self.updates) = (None, Vec::new());
        }
    }

    fn whole(&mut self, csrf_token: Option<&str>) -> Option<(Bytes, Seen)> {
        let seen = self.state.seen();
        if self.whole.is_none() {
            self.whole = Some(message(STATE, seen, &self.state.whole(csrf_token))?);
        }
        Some((self.whole.clone()?, seen))
    }
}

/// Returns a message of server-sent events. The JSON has no line breaks, so that it cannot end the message early.
fn message<T: Serialize>(head: &str, seen: Seen, data: &T) -> Option<Bytes> {
    let json = to_json(data).ok()?;
    let mut message = BytesMut::with_capacity(json.len() + 64);
    message.put_slice(format!("{head}\nid: {}\ndata: ", seen.tick()).as_bytes());
    message.put_slice(&json);
    message.put_slice(b"\n\n");
    Some(message.freeze())
}
