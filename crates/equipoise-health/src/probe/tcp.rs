use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    InvalidProbe, Probe, ProbeError, ProbeFuture, ProbeOutcome, Target,
    connect::connect,
    pattern::{Pattern, Search, byte_limit},
};

/// A probe that opens a TCP connection. The probe can also send bytes and wait for an expected answer.
///
/// ```
/// use equipoise_health::probe::TcpProbe;
///
/// let accepts = TcpProbe::new();
/// let redis = TcpProbe::new().send("PING\r\n").expect_prefix("+PONG")?;
/// let smtp = TcpProbe::new().expect("ESMTP")?.max_bytes(512)?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// Without an expected answer, the probe passes as soon as the connection is accepted. The server's operating system
/// accepts connections even if the server process is stuck. Set [`expect`](Self::expect) or
/// [`expect_prefix`](Self::expect_prefix) to detect a stuck process.
#[derive(Clone, Debug)]
pub struct TcpProbe {
    send: Vec<u8>,
    expect: Option<Pattern>,
    max_bytes: usize,
}

impl TcpProbe {
    /// Creates a probe that passes if the TCP connection is accepted. It sends nothing and expects no answer.
    #[must_use]
    pub fn new() -> Self {
        Self { send: Vec::new(), expect: None, max_bytes: 16 * 1024 }
    }

    /// Sets the bytes that the probe sends after connecting. Default: nothing is sent.
    #[must_use]
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send = bytes.into();
        self
    }

    /// Sets the bytes that must occur anywhere in the answer for the probe to pass. This call replaces the bytes from
    /// an earlier call of `expect` or [`expect_prefix`](Self::expect_prefix). Default: no answer is expected.
    ///
    /// The probe reads until the bytes are found, the endpoint closes the connection, or [`max_bytes`](Self::max_bytes)
    /// bytes have been read.
    ///
    /// # Errors
    ///
    /// Returns an error if `bytes` is empty.
    pub fn expect(mut self, bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidProbe> {
        self.expect = Some(Pattern::contains("expect", bytes.into())?);
        Ok(self)
    }

    /// Sets the bytes with which the answer must begin for the probe to pass. This call replaces the bytes from an
    /// earlier call of [`expect`](Self::expect) or `expect_prefix`. Default: no answer is expected.
    ///
    /// The probe fails at the first byte that differs.
    ///
    /// # Errors
    ///
    /// Returns an error if `bytes` is empty.
    pub fn expect_prefix(mut self, bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidProbe> {
        self.expect = Some(Pattern::prefix("expect_prefix", bytes.into())?);
        Ok(self)
    }

    /// Sets the maximum number of bytes of the answer that the probe reads. If the bytes set by
    /// [`expect`](Self::expect) or [`expect_prefix`](Self::expect_prefix) are not among the bytes read, the probe
    /// fails. Range: 1 byte to 16 MiB. Default: 16 KiB.
    ///
    /// # Errors
    ///
    /// Returns an error if `bytes` is out of range.
    pub fn max_bytes(mut self, bytes: usize) -> Result<Self, InvalidProbe> {
        self.max_bytes = byte_limit("max_bytes", bytes)?;
        Ok(self)
    }

    async fn check(&self, target: &Target) -> Result<ProbeOutcome, ProbeError> {
        let mut stream = connect(target).await?;
        stream.write_all(&self.send).await?;
        let Some(pattern) = &self.expect else { return Ok(ProbeOutcome::Passed) };
        let mut search = Search::new(pattern, self.max_bytes);
        let mut buffer = vec![0; self.max_bytes.min(4096)];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return search.end().map(ProbeOutcome::from),
                length if search.more(&buffer[..length])? => return Ok(ProbeOutcome::Passed),
                _ => {}
            }
        }
    }
}

impl Default for TcpProbe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe for TcpProbe {
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(self.check(target))
    }
}
