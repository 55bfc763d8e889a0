//! The balancers, and the servers that their logs list for each request.

use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::Context;
use clap::ValueEnum;
use equipoise::StrategySpec;

use crate::{
    backend::WORKERS,
    faults::{Fault, Load},
    process::{Backend, Process, free_port, listens, myself},
};

const NGINX: &str = include_str!("nginx.conf");
const HAPROXY: &str = include_str!("haproxy.cfg");

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Proxy {
    Equipoise,
    WithoutHealth,
    Nginx,
    Haproxy,
}

impl Proxy {
    pub(crate) const ALL: [Self; 4] = [Self::Equipoise, Self::WithoutHealth, Self::Nginx, Self::Haproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Equipoise => "equipoise",
            Self::WithoutHealth => "equipoise without health",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Equipoise | Self::WithoutHealth => true,
            Self::Nginx => found("nginx").is_some(),
            Self::Haproxy => found("haproxy").is_some(),
        }
    }
}

/// Searches the path, and the folders in which Debian has daemons.
fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|program| program.is_file())
}

/// A running balancer.
pub(crate) struct Running {
    // Before its folder, because they are dropped in this order.
    _process: Process,
    folder: Folder,
    proxy: Proxy,
    pub(crate) port: u16,
}

/// One attempt of the log.
pub(crate) struct Try {
    /// Time of the request in seconds since 1970.
    pub(crate) began: f64,
    /// Whether the server with the fault was tried.
    pub(crate) to_the_faulty: bool,
}

impl Running {
    pub(crate) async fn start(
        proxy: Proxy,
        fault: &Fault,
        servers: &[Backend; 3],
        strategy: &StrategySpec,
    ) -> anyhow::Result<Self> {
        let (folder, port) = (Folder::new()?, free_port()?);
        let listen = format!("127.0.0.1:{port}");
        let limit = matches!(fault.load, Load::Saturating { limited: true }).then_some(WORKERS);
        let filled = |template: &str| {
            let limit = limit.map(|limit| format!(" maxconn {limit}")).unwrap_or_default();
            let mut text = template.replace("{{listen}}", &listen).replace("{{limit}}", &limit);
            text = text.replace("{{dir}}", &folder.0.display().to_string());
            text = text.replace("{{log}}", &folder.log().display().to_string());
            for (n, server) in servers.iter().enumerate() {
                text = text.replace(&format!("{{{{server {n}}}}}"), &server.address());
            }
            let path = folder.0.join("configuration");
            fs::write(&path, text).map(|()| path)
        };
        let mut command = match proxy {
            Proxy::Equipoise | Proxy::WithoutHealth => {
                let mut command = myself("proxy")?;
                command.args([&*listen, "--strategy", &strategy.to_string()]);
                command.args((proxy == Proxy::Equipoise).then_some("--health"));
                command.args(limit.map(|limit| format!("--limit={limit}")));
                command.args(servers.iter().map(|server| format!("--server={}", server.address())));
                command
            }
            Proxy::Nginx => {
                let mut command = Command::new(found("nginx").context("nginx is gone")?);
                command.arg("-p").arg(&folder.0).arg("-e").arg(folder.0.join("nginx-errors.log"));
                command.arg("-c").arg(filled(NGINX)?);
                command
            }
            Proxy::Haproxy => {
                let mut command = Command::new(found("haproxy").context("haproxy is gone")?);
                // Runs in the foreground.
                command.arg("-db").arg("-f").arg(filled(HAPROXY)?);
                command
            }
        };
        command.stdin(Stdio::null()).stderr(File::create(folder.0.join("errors"))?);
        if proxy != Proxy::Nginx {
            command.stdout(File::create(folder.log())?);
        }
        let mut process = Process::start(&mut command, proxy == Proxy::Nginx)?;
        let listening = listens(&mut process, port).await;
        listening.with_context(|| fs::read_to_string(folder.0.join("errors")).unwrap_or_default())?;
        Ok(Self { _process: process, folder, proxy, port })
    }

    /// Returns the attempts of all requests that have ended.
    pub(crate) fn tries(&self, faulty: &str) -> anyhow::Result<Vec<Try>> {
        let log = fs::read_to_string(self.folder.log())?;
        Ok(log.lines().filter_map(|line| self.read(line, faulty)).collect())
    }

    /// Parses a line of the log; `None` for other lines.
    fn read(&self, line: &str, faulty: &str) -> Option<Try> {
        let mut words = line.split(' ');
        let mut number = || words.next()?.parse::<f64>().ok();
        let (began, to_the_faulty) = match self.proxy {
            Proxy::Equipoise | Proxy::WithoutHealth => (number()?, words.any(|word| word == faulty)),
            Proxy::Nginx => (number()? - number()?, words.any(|word| word.trim_end_matches(',') == faulty)),
            // A request that was redispatched was sent to the server with the fault first.
            Proxy::Haproxy => {
                (number()? / 1e3 - number()? / 1e3, words.any(|word| word == faulty || word.starts_with('+')))
            }
        };
        Some(Try { began, to_the_faulty })
    }
}

/// A temporary folder, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = env::temp_dir().join(format!("equipoise-faults-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(AsRef::<Path>::as_ref(&self.0));
    }
}
