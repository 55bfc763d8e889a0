//! Child processes that end with the tool.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{net::TcpStream, time::sleep};

/// A child process that ends when this value is dropped.
pub(crate) struct Process {
    child: Child,
    /// Whether to end it with SIGTERM. nginx must end its own workers.
    gently: bool,
}

impl Process {
    pub(crate) fn start(command: &mut Command, gently: bool) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("{} does not start", command.get_program().display()))?;
        Ok(Self { child, gently })
    }

    pub(crate) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let sent = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { bail!("kill -{signal} failed") }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = match self.gently {
            true => self.signal("TERM"),
            false => self.child.kill().map_err(Into::into),
        };
        let _ = self.child.wait();
    }
}

/// Returns a command that starts this program in another role.
pub(crate) fn myself(role: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(role);
    Ok(command)
}

/// Returns a port that is free at present.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until a process listens on the port.
pub(crate) async fn listens(process: &mut Process, port: u16) -> anyhow::Result<()> {
    while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if process.has_ended() {
            bail!("the process ended instead of listening on port {port}");
        }
        // Polls, because there is no event for a foreign program that starts to listen.
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// A server on its own port.
pub(crate) struct Backend {
    port: u16,
    process: Option<Process>,
}

impl Backend {
    pub(crate) async fn new() -> anyhow::Result<Self> {
        let mut backend = Self { port: free_port()?, process: None };
        backend.start().await?;
        Ok(backend)
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) async fn start(&mut self) -> anyhow::Result<()> {
        let mut command = myself("backend")?;
        // It ends with its input, also if the tool is killed.
        command.arg(self.port.to_string()).stdin(Stdio::piped());
        let process = self.process.insert(Process::start(&mut command, false)?);
        listens(process, self.port).await
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.signal("KILL")?;
        self.process = None;
        Ok(())
    }

    pub(crate) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        self.process.as_ref().context("it is not running")?.signal(signal)
    }

    /// Changes the mode from the next request on.
    pub(crate) fn turn(&mut self, mode: &str) -> anyhow::Result<()> {
        let process = self.process.as_mut().context("it is not running")?;
        let input = process.child.stdin.as_mut().context("it has no standard input")?;
        writeln!(input, "{mode}")?;
        Ok(())
    }
}
