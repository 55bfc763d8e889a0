use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    OnTimeout, Probe, ProbeError, ProbeFuture, ProbeOutcome, Target,
    connect::{connect, excerpt},
};
use crate::agent::AgentReply;

/// The maximum length of an agent's line in bytes. It is the size of HAProxy's buffer.
const MAX_LINE: usize = 16 * 1024;

/// A probe that asks an agent on the endpoint for the state of the endpoint, with HAProxy's [agent-check
/// protocol](crate::agent). An agent is a program that reports the endpoint's health, weight and administrative
/// state.
///
/// The probe opens a TCP connection, sends a text if one is set, and reads one line.
///
/// ```
/// use equipoise_health::probe::AgentProbe;
///
/// let agent = AgentProbe::new().send("status of web1\n");
/// ```
///
/// The probe never fails. The outcome is [`ProbeOutcome::Inconclusive`] if the agent cannot be reached, exceeds the
/// timeout, or sends a line that is incomplete or longer than 16 KiB. An agent usually has its own port: see
/// [`Schedule::port`](crate::Schedule::port).
#[derive(Clone, Debug, Default)]
pub struct AgentProbe {
    send: Vec<u8>,
}

impl AgentProbe {
    /// Creates a probe that sends nothing and reads one line from the agent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the bytes that the probe sends after connecting. They are sent unchanged, so include a line end if the
    /// agent needs one. Default: nothing is sent.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send = bytes.into();
        self
    }

    async fn check(&self, target: &Target) -> Result<AgentReply, ProbeError> {
        let mut stream = connect(target).await?;
        stream.write_all(&self.send).await?;
        let mut line = Vec::new();
        let mut rest = stream.take(MAX_LINE as u64);
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

impl Probe for AgentProbe {
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(async { Ok(self.check(target).await.map_or_else(ProbeOutcome::Inconclusive, ProbeOutcome::Agent)) })
    }

    fn on_timeout(&self) -> OnTimeout {
        OnTimeout::Ignore
    }
}
