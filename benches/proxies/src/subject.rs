//! The proxies that are compared.

use std::{fs, process::Command};

use clap::ValueEnum;

use crate::{
    build, configuration,
    process::{Backends, Process, free_address, nginx},
    workload::Workload,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// nginx with one worker process.
    Nginx,
    /// HAProxy with one thread.
    Haproxy,
    /// This library: `ReverseProxy` over `HttpClient`.
    Equipoise,
    /// The example `gateway` of this library.
    Gateway,
    /// hyper's server over hyper-util's client.
    Bare,
    /// pingora with one thread.
    Pingora,
}

impl Subject {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Equipoise => "equipoise",
            Self::Gateway => "equipoise, gateway",
            Self::Bare => "bare hyper",
            Self::Pingora => "pingora",
        }
    }

    /// Returns whether the proxy speaks the HTTP versions of a workload.
    pub(crate) const fn serves(self, workload: Workload) -> bool {
        !(workload.to_http2() && matches!(self, Self::Nginx))
    }

    /// Builds the proxy, if it is written in Rust.
    pub(crate) fn build(self) -> anyhow::Result<()> {
        match self {
            Self::Nginx | Self::Haproxy => Ok(()),
            Self::Equipoise => build::program("equipoise"),
            Self::Bare => build::program("bare"),
            Self::Pingora => build::program("pingora"),
            Self::Gateway => build::gateway(),
        }
    }

    /// Starts the proxy.
    pub(crate) fn start(self, workload: Workload, backends: &Backends) -> anyhow::Result<Process> {
        let (listen, directory) = (free_address()?, tempfile::tempdir()?);
        let (from_http2, to_http2) = (workload.from_http2(), workload.to_http2());
        let backends = backends.addresses(to_http2);
        let file = directory.path().join("configuration");
        let command = match self {
            Self::Nginx => nginx(directory.path(), &configuration::nginx(listen, backends, from_http2))?,
            Self::Haproxy => {
                fs::write(&file, configuration::haproxy(listen, backends, from_http2, to_http2))?;
                let mut command = Command::new("haproxy");
                command.arg("-db").arg("-f").arg(file);
                command
            }
            Self::Gateway => {
                fs::write(&file, configuration::gateway(listen, backends, to_http2))?;
                let mut command = Command::new(build::built("examples/gateway")?);
                command.arg("--config").arg(file).env("TOKIO_WORKER_THREADS", "1");
                command
            }
            Self::Equipoise => program("equipoise", listen, workload, backends)?,
            Self::Bare => program("bare", listen, workload, backends)?,
            Self::Pingora => program("pingora", listen, workload, backends)?,
        };
        Process::start(command, listen, directory)
    }
}

fn program(
    name: &str,
    listen: std::net::SocketAddr,
    workload: Workload,
    backends: &[std::net::SocketAddr],
) -> anyhow::Result<Command> {
    let version = |http2: bool| if http2 { "http2" } else { "http1" };
    let mut command = Command::new(build::built(name)?);
    command.arg(listen.to_string()).arg(version(workload.from_http2())).arg(version(workload.to_http2()));
    command.args(backends.iter().map(ToString::to_string));
    Ok(command)
}
