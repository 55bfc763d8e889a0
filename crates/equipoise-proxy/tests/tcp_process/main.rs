//! The TCP proxy in a process of its own, for what concerns all of a process: its descriptors and its memory. These tests
//! open almost as many files as a process may have.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use equipoise_core::RoundRobin;
use equipoise_proxy::tcp::{TcpProxy, TcpSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use self::rig::*;

#[allow(dead_code, reason = "the tests of this process use more of it")]
#[path = "../tcp/rig.rs"]
mod rig;

/// The variables that tell the process its port and its endpoint.
const LISTEN: &str = "EQUIPOISE_TCP_LISTEN";
const ENDPOINT: &str = "EQUIPOISE_TCP_ENDPOINT";

/// Not a test: what the process does. It ends when it is killed.
#[test]
#[ignore = "the process of other tests"]
fn proxy_process() {
    let (Ok(listen), Ok(endpoint)) = (std::env::var(LISTEN), std::env::var(ENDPOINT)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let pool = pool(RoundRobin::new(), &[endpoint.parse().expect("an address")]);
        let listener = tokio::net::TcpListener::bind(listen).await.expect("a free port");
        TcpProxy::with_settings(pool, TcpSettings::new().idle_timeout(LONG)).serve(listener).await;
    });
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a proxy with a limit of open files.
    async fn start(endpoint: SocketAddr, files: usize) -> Self {
        let address = refusing().await;
        let this = std::env::current_exe().expect("a test");
        let child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {files} && exec \"$0\" --exact proxy_process --ignored")])
            .arg(this)
            .env(LISTEN, address.to_string())
            .env(ENDPOINT, endpoint.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let process = Self { child, address };
        let limit = tokio::time::Instant::now() + LONG;
        while TcpStream::connect(address).await.is_err() {
            assert!(tokio::time::Instant::now() < limit, "the process does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process
    }

    /// Returns the resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("Linux");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns how many files this process may have open.
fn max_files() -> usize {
    let output = Command::new("sh").args(["-c", "ulimit -n"]).output().expect("a shell");
    String::from_utf8_lossy(&output.stdout).trim().parse().unwrap_or(1024)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_when_descriptors_are_exhausted() {
    let process = Process::start(echoing().await, 64).await;
    let mut first = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(process.address).await.expect("it listens");
        exchange(&mut stream, b"hello").await;
        first.push(stream);
    }
    // Two descriptors each: these are more than it can have. The others wait in the backlog of the listener, or are closed
    // if there was only one descriptor left.
    let mut more = JoinSet::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(process.address).await.expect("in the backlog");
        more.spawn(async move {
            let _ = try_exchange(&mut stream).await;
            std::future::pending::<()>().await;
        });
    }
    until(|| process.open_files() >= 62).await;
    for stream in &mut first {
        exchange(stream, b"still").await;
    }
    // When they leave, others are served, and nothing stays open.
    drop(more);
    let limit = tokio::time::Instant::now() + LONG;
    while try_exchange(&mut TcpStream::connect(process.address).await.expect("it listens")).await.is_err() {
        assert!(tokio::time::Instant::now() < limit, "others are not served");
    }
    drop(first);
    until(|| process.open_files() < 20).await;
}

async fn try_exchange(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello").await?;
    stream.read_exact(&mut [0; 5]).await.map(drop)
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_need_little_memory() {
    // This process has both ends, and the other tests need some files too.
    let count = 10_000.min(max_files().saturating_sub(500) / 2);
    let process = Process::start(echoing().await, max_files()).await;
    let mut probe = TcpStream::connect(process.address).await.expect("it listens");
    exchange(&mut probe, &[7; 64 * 1024]).await;
    let before = process.memory();
    let mut idle = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(process.address).await.expect("it listens");
        // Half of them were used.
        if number % 2 == 0 {
            exchange(&mut stream, b"hello").await;
        }
        idle.push(stream);
    }
    exchange(&mut probe, b"others are served").await;
    exchange(&mut idle[count - 2], b"and those that were idle").await;
    until(|| process.open_files() >= 2 * count).await;
    let each = (process.memory() - before) * 1024 / count as u64;
    assert!(each <= 8192, "{each} bytes for each of {count} connections");
    println!("{each} bytes for each of {count} idle connections");
}
