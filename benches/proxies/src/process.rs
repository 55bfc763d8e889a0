//! Processes with their CPU time and memory, and the backends for HTTP. Linux only.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::configuration;

/// How long a process may take until it is ready.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns whether a process is ready to serve an address.
pub(crate) type IsReady = fn(SocketAddr) -> bool;

/// A process that serves an address. It ends when the value is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
}

impl Process {
    /// Starts a command. Its arguments may name files of `directory`.
    pub(crate) fn start(
        mut command: Command,
        address: SocketAddr,
        is_ready: IsReady,
        directory: TempDir,
    ) -> anyhow::Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdout(Stdio::null()).stderr(fs::File::create(directory.path().join("stderr"))?).spawn();
        let child = child.with_context(|| format!("{name} cannot be started; is it installed?"))?;
        let mut process = Self { child, address, _directory: directory };
        let started = Instant::now();
        while !is_ready(address) {
            if let Some(status) = process.child.try_wait()? {
                let message = fs::read_to_string(process._directory.path().join("stderr"))?;
                bail!("{name} has ended with {status}: {message}");
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("{name} does not serve {address}");
            }
            #[expect(clippy::disallowed_methods, reason = "nothing else tells that another process listens")]
            thread::sleep(Duration::from_millis(10));
        }
        Ok(process)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the CPU time that the process and its children have used, in user and kernel mode.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for pid in self.pids()? {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let statistics = fs::read_to_string(task?.path().join("schedstat"))?;
                nanos += statistics.split(' ').next().unwrap_or_default().parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Returns the resident memory of the process and its children, in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let mut kilobytes = 0;
        for pid in self.pids()? {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
            kilobytes += line.trim().trim_end_matches(" kB").parse::<u64>()?;
        }
        Ok(kilobytes * 1024)
    }

    fn pids(&self) -> anyhow::Result<Vec<u32>> {
        let own = self.child.id();
        let mut pids = vec![own];
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
            // Processes may end meanwhile. The parent is the second field after the name, which is in parentheses.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let parent = stat.rsplit(") ").next().and_then(|fields| fields.split(' ').nth(1)?.parse().ok());
            if parent == Some(own) {
                pids.push(pid);
            }
        }
        Ok(pids)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The workers of nginx would outlive their master if only that were killed.
        let pids = self.pids().unwrap_or_default();
        let _ = Command::new("kill").arg("-KILL").args(pids.iter().map(u32::to_string)).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns whether a process accepts connections.
pub(crate) fn accepts(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Returns whether a process answers a datagram.
pub(crate) fn answers(address: SocketAddr) -> bool {
    let answer = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.send(b"ready?")?;
        socket.recv(&mut [0; 16])
    };
    answer().is_ok()
}

/// Three servers of static files.
pub(crate) struct HttpBackends {
    _processes: Vec<Process>,
    http1: Vec<SocketAddr>,
    http2: Vec<SocketAddr>,
}

impl HttpBackends {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let (mut processes, mut http1, mut http2) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..3 {
            let directory = tempfile::tempdir()?;
            fs::write(directory.path().join("16k"), vec![b'x'; 16 * 1024])?;
            fs::write(directory.path().join("1m"), vec![b'x'; 1024 * 1024])?;
            let (own1, own2) = (free_address()?, free_address()?);
            let command = nginx(directory.path(), &configuration::backend(own1, own2))?;
            processes.push(Process::start(command, own1, accepts, directory)?);
            http1.push(own1);
            http2.push(own2);
        }
        Ok(Self { _processes: processes, http1, http2 })
    }

    /// Returns the addresses on which the backends speak this version.
    pub(crate) fn addresses(&self, http2: bool) -> &[SocketAddr] {
        if http2 { &self.http2 } else { &self.http1 }
    }
}

/// Returns the command that runs nginx with a configuration and the files of a directory.
pub(crate) fn nginx(directory: &Path, configuration: &str) -> anyhow::Result<Command> {
    let file = directory.join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).arg("-c").arg(file);
    Ok(command)
}

/// Returns an address that was free a moment ago, below the ports that the system gives to connections.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(18_000);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)));
        match TcpListener::bind(address).and_then(|_| UdpSocket::bind(address)) {
            Ok(_) => return Ok(address),
            Err(_) if address.port() < 30_000 => {}
            Err(error) => return Err(error).context("no port is free"),
        }
    }
}
