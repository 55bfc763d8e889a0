use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Answer, InvalidProbe, Probe, ProbeError, Target,
    connect::connect,
    pattern::{Pattern, Search, bound},
};

/// A TCP connection; if asked, bytes are sent and others expected.
///
/// ```
/// use equipoise_health::probe::Tcp;
///
/// let accepts = Tcp::new();
/// let redis = Tcp::new().send("PING\r\n").expect_prefix("+PONG")?;
/// let smtp = Tcp::new().expect("ESMTP")?.max_in_flight(512)?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// Without anything expected it passes once the system has accepted the connection, even if the process behind it is stuck:
/// its backlog accepts for it. Expect something where that matters.
#[derive(Clone, Debug)]
pub struct Tcp {
    send: Vec<u8>,
    expect: Option<Pattern>,
    limit: usize,
}

impl Tcp {
    /// Passes when a connection comes about.
    #[must_use]
    pub fn new() -> Self {
        Self { send: Vec::new(), expect: None, limit: 16 * 1024 }
    }

    /// Sends this first. Nothing by default.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send = bytes.into();
        self
    }

    /// Passes only when this is somewhere in what comes; the last expectation counts. It is read until it is found, the
    /// peer has ended, or [`limit`](Self::limit).
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub fn expect(mut self, bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidProbe> {
        self.expect = Some(Pattern::contains("expect", bytes.into())?);
        Ok(self)
    }

    /// Passes only when what comes begins with this; the last expectation counts. It fails at the first byte that differs.
    ///
    /// # Errors
    ///
    /// When it is empty.
    pub fn expect_prefix(mut self, bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidProbe> {
        self.expect = Some(Pattern::prefix("expect_prefix", bytes.into())?);
        Ok(self)
    }

    /// How many bytes are read at most; what is expected must be within them. By default 16 KiB.
    ///
    /// # Errors
    ///
    /// When it is 0, or above 16 MiB.
    pub fn limit(mut self, bytes: usize) -> Result<Self, InvalidProbe> {
        self.limit = bound("limit", bytes)?;
        Ok(self)
    }

    async fn look(&self, target: &Target) -> Result<Answer, ProbeError> {
        let mut stream = connect(target).await?;
        stream.write_all(&self.send).await?;
        let Some(pattern) = &self.expect else { return Ok(Answer::Passed) };
        let mut search = Search::new(pattern, self.limit);
        let mut piece = vec![0; self.limit.min(4096)];
        loop {
            match stream.read(&mut piece).await? {
                0 => return search.end().map(Answer::from),
                length if search.more(&piece[..length])? => return Ok(Answer::Passed),
                _ => {}
            }
        }
    }
}

impl Default for Tcp {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for Tcp {
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        Box::pin(self.look(target))
    }
}
