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

/// The end of a message.
const END: &[u8] = b"\n\n";

/// How many different updates of one tick are kept. Most clients have seen the same, and share one update.
const MAX_KEPT: usize = 16;

/// With more endpoints and functions than this, messages are made on a thread for blocking work: the time for a message
/// grows with their number, and a message with the whole state of 1 000 busy endpoints has 3.4 MB of JSON. Handing a
/// message to another thread is not worth it for small pools.
const MAX_INLINE: usize = 500;

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
    whole: Option<Message>,
    updates: Vec<(Seen, Message)>,
}

/// A message of server-sent events.
#[derive(Clone)]
pub(super) struct Message {
    pub(super) text: Bytes,
    /// What a client has seen that has read it.
    pub(super) seen: Seen,
    /// Where the data begins in the text.
    start: usize,
}

impl Feed {
    pub(in crate::page) fn new(monitor: Monitor, guard: Arc<MonitorGuard>) -> Self {
        let live = monitor.live_feed();
        let state = PageState::new(Arc::clone(&live.borrow()), monitor.recent());
        let made = Mutex::new(Made { state, whole: None, updates: Vec::new() });
        Self { monitor, live, guard, csrf_token: None, made }
    }

    /// Returns another feed of the same monitor, whose states contain the token.
    pub(in crate::page) fn with_csrf_token(&self, token: &str) -> Self {
        Self { csrf_token: Some(token.to_owned()), ..Self::new(self.monitor.clone(), Arc::clone(&self.guard)) }
    }

    /// Returns the state as JSON. `None` if it could not be made, which would be a bug.
    pub(in crate::page) async fn json(self: &Arc<Self>) -> Option<Bytes> {
        self.message(None).await.map(|message| message.json())
    }

    /// Waits until there is a newer state than a client has seen, and returns a message with what has changed. `None`: the
    /// monitor has ended.
    pub(super) async fn newer(self: &Arc<Self>, seen: Seen) -> Option<Message> {
        self.live.clone().wait_for(|live| live.tick > seen.tick()).await.ok()?;
        self.message(Some(seen)).await
    }

    /// Returns a message with what has changed since a client has looked, or with everything.
    pub(super) async fn message(self: &Arc<Self>, seen: Option<Seen>) -> Option<Message> {
        let (newest, snapshot) = {
            let live = self.live.borrow();
            (live.tick, Arc::clone(&live.snapshot))
        };
        let endpoints: usize = snapshot.pools.iter().map(|pool| pool.endpoints.len()).sum();
        if endpoints + snapshot.functions.len() <= MAX_INLINE {
            return self.make(seen);
        }
        // Not waited for: another client may be making a message.
        let known = self.made.try_lock().and_then(|made| made.known(seen).filter(|it| it.seen.tick() == newest));
        if known.is_some() {
            return known;
        }
        let feed = Arc::clone(self);
        tokio::task::spawn_blocking(move || feed.make(seen)).await.ok()?
    }

    fn make(&self, seen: Option<Seen>) -> Option<Message> {
        let mut made = self.made.lock();
        let live = Arc::clone(&self.live.borrow());
        if live.tick > made.state.seen().tick() {
            made.state.update(live, self.monitor.recent());
            (made.whole, made.updates) = (None, Vec::new());
        }
        let known = made.known(seen);
        if known.is_some() {
            return known;
        }
        let newest = made.state.seen();
        let update = seen.and_then(|seen| Some((seen, Message::new(UPDATE, newest, &made.state.since(seen)?)?)));
        if let Some((seen, message)) = update {
            if made.updates.len() < MAX_KEPT {
                made.updates.push((seen, message.clone()));
            }
            return Some(message);
        }
        if made.whole.is_none() {
            let whole = Message::new(STATE, newest, &made.state.whole(self.csrf_token.as_deref()))?;
            made.whole = Some(whole);
        }
        made.whole.clone()
    }
}

impl Made {
    /// Returns the message if it was made before.
    fn known(&self, seen: Option<Seen>) -> Option<Message> {
        match seen {
            None => self.whole.clone(),
            Some(seen) => self.updates.iter().find(|(from, _)| *from == seen).map(|(_, message)| message.clone()),
        }
    }
}

impl Message {
    /// The JSON has no line breaks, so that it cannot end the message early.
    fn new<T: Serialize>(head: &str, seen: Seen, data: &T) -> Option<Self> {
        let json = to_json(data).ok()?;
        let mut text = BytesMut::with_capacity(json.len() + 64);
        text.put_slice(format!("{head}\nid: {}\ndata: ", seen.tick()).as_bytes());
        let start = text.len();
        text.put_slice(&json);
        text.put_slice(END);
        Some(Self { text: text.freeze(), seen, start })
    }

    fn json(&self) -> Bytes {
        self.text.slice(self.start..self.text.len() - END.len())
    }
}
