//! A gateway process with its configuration file.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStderr, Command},
};

use crate::client::{Client, soon};

/// A folder for one test, which is removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("equipoise-gateway-example-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Writes the configuration.
    pub(crate) fn write(&self, config: &str) {
        fs::write(self.0.join("gateway.toml"), config).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The command of a gateway with the configuration of a folder, which is its working directory.
pub(crate) fn command(folder: &Folder) -> Command {
    let mut command = program();
    command.args(["--config", "gateway.toml"]).current_dir(folder.path()).kill_on_drop(true);
    command
}

/// The command of a gateway without arguments.
pub(crate) fn program() -> Command {
    let tests = env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/gateway");
    assert!(program.exists(), "run `cargo test -p equipoise-gateway-example`, which builds {}", program.display());
    Command::new(program)
}

pub(crate) struct Gateway {
    pub(crate) child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    /// Lines that no call of `logs` has returned.
    others: Vec<String>,
    /// The addresses of the listeners, and then that of the admin interface.
    pub(crate) addresses: Vec<String>,
}

impl Gateway {
    /// Starts a gateway and waits until it listens.
    pub(crate) async fn start(folder: &Folder, config: &str) -> Self {
        Self::start_with(folder, config, &[]).await
    }

    /// Starts a gateway with more arguments and waits until it listens.
    pub(crate) async fn start_with(folder: &Folder, config: &str, arguments: &[&str]) -> Self {
        folder.write(config);
        let mut child = command(folder).args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut gateway = Self { child, lines, others: Vec::new(), addresses: Vec::new() };
        gateway.logs("started").await;
        gateway
    }

    /// Waits until a line of the log contains a text, and returns the line. Each line is returned once. Lines of
    /// different tasks have no order.
    pub(crate) async fn logs(&mut self, text: &str) -> String {
        if let Some(at) = self.others.iter().position(|line| line.contains(text)) {
            return self.others.remove(at);
        }
        loop {
            let line = soon(self.lines.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("the gateway has ended before it logged {text:?}"));
            if let Some((_, address)) = line.split_once("listening on ") {
                // In JSON, a quote follows.
                self.addresses.push(address.split('"').next().unwrap().to_owned());
            }
            if line.contains(text) {
                return line;
            }
            self.others.push(line);
        }
    }

    /// Waits until the gateway has ended. Returns the lines of the log that were not returned yet.
    pub(crate) async fn rest(mut self) -> Vec<String> {
        while let Some(line) = soon(self.lines.next_line()).await.unwrap() {
            self.others.push(line);
        }
        self.others
    }

    /// Discards all further lines of the log, which would stop the gateway when the pipe is full. Returns the process and
    /// the addresses.
    pub(crate) fn without_log(mut self) -> (Child, Vec<String>) {
        tokio::spawn(async move { while let Ok(Some(_)) = self.lines.next_line().await {} });
        (self.child, self.addresses)
    }

    /// Sends a signal, such as `-HUP`.
    pub(crate) async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// Writes another configuration and lets the gateway read it.
    pub(crate) async fn reload(&mut self, folder: &Folder, config: &str) {
        folder.write(config);
        self.signal("-HUP").await;
        self.logs("configuration reloaded").await;
    }

    /// Connects to a listener, or to the admin interface after the listeners.
    pub(crate) async fn connect(&self, index: usize) -> Client {
        Client::connect(&self.addresses[index]).await
    }
}
