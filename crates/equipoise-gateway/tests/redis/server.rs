use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use redis::{Client, Connection, FromRedisValue, cmd};

use super::eventually;

/// A Redis server for one test, in an empty directory and without persistence. It is killed when the value is dropped.
pub(crate) struct Server {
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Server {
    /// Starts a server. If `redis-server` is not installed, prints a message and returns `None`.
    pub(crate) async fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = env::var_os("PATH").unwrap_or_default();
        let program = env::split_paths(&path).map(|path| path.join("redis-server")).find(|file| file.is_file());
        let Some(program) = program else {
            eprintln!("SKIPPED: no redis-server on PATH (Debian: apt-get install redis-server)");
            return None;
        };
        let name = format!("equipoise-gateway-redis-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let mut server = Self { program, directory, port: 0, child: None };
        // Another program may take the port after this one has released it.
        while server.child.is_none() {
            server.port = free_port();
            server.spawn().await;
        }
        Some(server)
    }

    /// Starts the server (again) on its port, and waits until it answers.
    pub(crate) async fn spawn(&mut self) {
        let mut child = Command::new(&self.program)
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--port",
                &self.port.to_string(),
                "--dir",
            ])
            .arg(&self.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lives = true;
        eventually("a server that answers", || {
            lives = child.try_wait().unwrap().is_none();
            !lives || self.connect().is_some()
        })
        .await;
        self.child = lives.then_some(child);
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

    fn connect(&self) -> Option<Connection> {
        let client = Client::open(self.url()).unwrap();
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
        cmd("PING").query::<String>(&mut connection).ok().map(|_| connection)
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

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
