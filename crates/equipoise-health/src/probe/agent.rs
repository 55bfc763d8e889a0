use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Answer, Probe, ProbeError, Silence, Target,
    connect::{connect, excerpt},
};
use crate::agent::AgentReply;

/// HAProxy's buffer: an agent whose line does not end within it has not ended it.
const LIMIT: usize = 16 * 1024;

/// Asks an agent on the endpoint: connects, sends something if told to, reads a line. See [`crate::agent`].
///
/// ```
/// use equipoise_health::probe::Agent;
///
/// let agent = Agent::new().send("status of web1\n");
/// ```
///
/// It never fails: an agent that cannot be reached, takes too long or does not end its line has given no verdict, and is
/// [`Answer::Silent`]. The agent usually has a port of its own ([`Target::port`]).
#[derive(Clone, Debug, Default)]
pub struct Agent {
    send: Vec<u8>,
}

impl Agent {
    /// Sends nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends this first, as it is: end the line yourself.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send = bytes.into();
        self
    }

    async fn look(&self, target: &Target) -> Result<AgentReply, ProbeError> {
        let mut stream = connect(target).await?;
        stream.write_all(&self.send).await?;
        let mut line = Vec::new();
        let mut rest = stream.take(LIMIT as u64);
        loop {
            let before = line.len();
            let read = rest.read_buf(&mut line).await?;
            if read == 0 || line[before..].iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
                let incomplete = |why| ProbeError::Unexpected(format!("{why}: {}", excerpt(&line)));
                return AgentReply::parse(&line).map_err(incomplete);
            }
        }
    }
}

impl Probe for Agent {
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        Box::pin(async { Ok(self.look(target).await.map_or_else(Answer::Silent, Answer::Agent)) })
    }

    fn silence(&self) -> Silence {
        Silence::SaysNothing
    }
}
