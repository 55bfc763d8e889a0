use std::{future::pending, io, sync::Arc, time::Duration};

use equipoise_tests::{Peer, Scripted};
use parking_lot::Mutex;
use tokio::time::sleep;

/// The behaviour of a server for each request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Reads requests and probes and never answers.
    Mute,
    /// Closes the connection in the middle of the response. Passes health checks.
    Breaks,
    /// Answers 500 at once. Passes health checks.
    Fails,
    /// Answers after this time.
    After(Duration),
}

impl Mode {
    pub(crate) const WELL: Self = Self::After(Duration::ZERO);
}

/// An HTTP server whose behaviour can be changed while it runs.
pub(crate) struct Server {
    scripted: Scripted,
    mode: Arc<Mutex<Mode>>,
}

impl Server {
    pub(crate) fn start(mode: Mode) -> Self {
        let mode = Arc::new(Mutex::new(mode));
        let held = Arc::clone(&mode);
        Self { scripted: Scripted::start(move |peer| serve(peer, Arc::clone(&held))).unwrap(), mode }
    }

    pub(crate) fn address(&self) -> String {
        self.scripted.address()
    }

    /// Sets the behaviour from the next request on.
    pub(crate) fn turn(&self, mode: Mode) {
        *self.mode.lock() = mode;
    }
}

async fn serve(mut peer: Peer, mode: Arc<Mutex<Mode>>) -> io::Result<()> {
    loop {
        let head = peer.head().await?;
        let mode = *mode.lock();
        match mode {
            Mode::Breaks | Mode::Fails if head.starts_with("GET /health ") => peer.send(WELL).await?,
            Mode::Mute => pending().await,
            Mode::Breaks => {
                peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it").await?;
                return peer.reset();
            }
            Mode::Fails => peer.send("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await?,
            Mode::After(time) => {
                // This sleep is the simulated work; it does not wait for a state.
                sleep(time).await;
                peer.send(WELL).await?;
            }
        }
    }
}

const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
