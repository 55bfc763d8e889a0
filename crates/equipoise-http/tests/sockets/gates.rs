//! A resolver that lets a test decide when, and with which result, each attempt to open a connection goes on.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use equipoise_http::{Resolve, ResolveFuture};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// What an attempt to open a connection does next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Go {
    On,
    Fail,
    Panic,
}

/// Resolves each name to one address. Each resolution waits until the test lets it go on.
#[derive(Clone, Debug)]
pub(crate) struct Gates {
    address: SocketAddr,
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<Go>>>>,
}

impl Gates {
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.parse().expect("an address"), waiting: Arc::default() }
    }

    /// Returns how many attempts wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Returns when so many attempts wait.
    pub(crate) async fn reach(&self, attempts: usize) {
        while self.len() < attempts {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the attempt that has waited longest go on. Returns false if it was dropped meanwhile.
    pub(crate) fn open(&self, go: Go) -> bool {
        let gate = self.waiting.lock().pop_front();
        gate.expect("an attempt that waits").send(go).is_ok()
    }

    /// Takes the attempt out that has waited longest. It never ends by itself.
    pub(crate) fn forget(&self) -> oneshot::Sender<Go> {
        self.waiting.lock().pop_front().expect("an attempt that waits")
    }
}

impl Resolve for Gates {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> ResolveFuture<'a> {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().push_back(sender);
        Box::pin(async move {
            match receiver.await {
                Ok(Go::On) => Ok(vec![self.address]),
                Ok(Go::Panic) => panic!("the resolver of this test"),
                Ok(Go::Fail) | Err(_) => Err("as the test says".into()),
            }
        })
    }
}
