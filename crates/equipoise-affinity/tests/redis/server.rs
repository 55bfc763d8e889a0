use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use redis::{Client, Connection, FromRedisValue, cmd};
use tokio::{sync::oneshot, time::timeout};

/// The time after which a test fails. It is long, because the machine may be busy.
const MAX_START: Duration = Duration::from_secs(30);

/// A Redis server for one test, in an empty directory and without persistence. It is killed when the value is dropped.
pub(crate) struct Server {
    program: PathBuf,
    directory: Directory,
    settings: Vec<String>,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server. If `redis-server` is not installed, prints a message and returns `None`.
    pub(crate) async fn start(settings: &[&str]) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let Some(program) = env::split_paths(&path).map(|path| path.join("redis-server")).find(|file| file.is_file())
        else {
            eprintln!("SKIPPED: no redis-server on PATH (Debian: apt-get install redis-server)");
            return None;
        };
        let directory = Directory::new();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { program, directory, settings, port: 0, child: None };
        // Another program may take the port after this one has released it.
        while server.child.is_none() {
            server.port = free_port();
            server.spawn().await;
        }
        Some(server)
    }

    /// Starts the server (again) on its port, and waits until it accepts connections.
    pub(crate) async fn spawn(&mut self) {
        let mut child = Command::new(&self.program)
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &self.port.to_string()])
            .args(&self.settings)
            .arg("--dir")
            .arg(self.directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stdout.take().unwrap());
        let (ready, is_ready) = oneshot::channel();
        // The log is read to its end, so that the server never waits for its reader.
        thread::spawn(move || {
            let mut ready = Some(ready);
            for line in log.lines().map_while(Result::ok) {
                if line.to_lowercase().contains("ready to accept connections")
                    && let Some(ready) = ready.take()
                {
                    let _ = ready.send(());
                }
            }
        });
        match timeout(MAX_START, is_ready).await.expect("a server that starts") {
            Ok(()) => self.child = Some(child),
            Err(_) => drop(child.wait()),
        }
    }

    /// Kills the server. It does not close its connections in an orderly way.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal to the server, such as `-STOP`, after which its connections stay open.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn connect(&self) -> Option<Connection> {
        let mut connection =
            Client::open(self.url()).unwrap().get_connection_with_timeout(Duration::from_secs(1)).ok()?;
        match cmd("PING").query::<String>(&mut connection) {
            Ok(_) => Some(connection),
            Err(error) if error.code() == Some("NOAUTH") => Some(connection),
            Err(_) => None,
        }
    }

    /// Sends a command to the server over a separate connection.
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connect().unwrap();
        let (name, rest) = words.split_first().unwrap();
        cmd(name).arg(rest).query(&mut connection).unwrap()
    }

    /// Returns how often the server has run a command. Commands of scripts count too.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let stats: String = self.ask(&["INFO", "commandstats"]);
        let line = format!("cmdstat_{command}:calls=");
        stats.lines().find_map(|stat| stat.strip_prefix(&line)?.split(',').next()?.parse().ok()).unwrap_or(0)
    }
}

/// An empty directory, which is removed when the value is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("equipoise-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
