//! The proxies that are compared.

use std::{fs, net::SocketAddr, process::Command};

use clap::ValueEnum;

use crate::{
    build, configuration,
    process::{Process, accepts, answers, free_address, nginx},
    setup::Setup,
    workload::{Protocol, Workload},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Subject {
    /// nginx with one worker process.
    Nginx,
    /// HAProxy with one thread.
    Haproxy,
    /// HAProxy with `option splice-auto`: it decides when it uses splice(2).
    HaproxySpliceAuto,
    /// HAProxy with `option splice-request` and `option splice-response`.
    HaproxySplice,
    /// This library: `ReverseProxy` over `HttpClient`, `TcpProxy` without splice(2), or `UdpProxy`. TLS with aws-lc-rs.
    Equipoise,
    /// This library: `TcpProxy` with splice(2).
    EquipoiseSplice,
    /// This library: TLS with ring.
    EquipoiseRing,
    /// The example `gateway` of this library.
    Gateway,
    /// hyper's server over hyper-util's client, tokio's copy of a connection with buffers of 8 KiB, or a task of tokio
    /// for each client over UDP. TLS with aws-lc-rs.
    Bare,
    /// tokio's copy of a connection with buffers of 64 KiB.
    #[value(name = "bare-64k")]
    Bare64k,
    /// tokio's copy of a connection with buffers of 256 KiB.
    #[value(name = "bare-256k")]
    Bare256k,
    /// hyper's server over hyper-util's client. TLS with ring.
    BareRing,
    /// pingora with one thread.
    Pingora,
}

impl Subject {
    pub(crate) const fn name(self, workload: Workload) -> &'static str {
        match (self, workload.protocol()) {
            (Self::Nginx, _) => "nginx",
            (Self::Haproxy, _) => "HAProxy",
            (Self::HaproxySpliceAuto, _) => "HAProxy, splice-auto",
            (Self::HaproxySplice, _) => "HAProxy, splice both ways",
            (Self::Equipoise, Protocol::Https) => "equipoise, aws-lc-rs",
            (Self::Equipoise, _) => "equipoise",
            (Self::EquipoiseSplice, _) => "equipoise, splice",
            (Self::EquipoiseRing, _) => "equipoise, ring",
            (Self::Gateway, _) => "equipoise, gateway",
            (Self::Bare, Protocol::Http) => "bare hyper",
            (Self::Bare, Protocol::Https) => "bare hyper, aws-lc-rs",
            (Self::Bare, Protocol::Tcp) => "tokio copy, 8 KiB",
            (Self::Bare, Protocol::Udp) => "tokio relay",
            (Self::Bare64k, _) => "tokio copy, 64 KiB",
            (Self::Bare256k, _) => "tokio copy, 256 KiB",
            (Self::BareRing, _) => "bare hyper, ring",
            (Self::Pingora, _) => "pingora",
        }
    }

    /// Returns whether the proxy is measured with a workload.
    pub(crate) const fn serves(self, workload: Workload) -> bool {
        if workload.function().is_some() {
            return matches!(self, Self::Nginx | Self::Equipoise | Self::Gateway);
        }
        match (self, workload.protocol()) {
            (Self::Nginx, _) => !workload.to_http2(),
            (Self::Haproxy, protocol) => !matches!(protocol, Protocol::Udp),
            (Self::Bare, _) => true,
            // They differ from the others with large buffers only.
            (Self::HaproxySpliceAuto | Self::HaproxySplice | Self::Bare64k | Self::Bare256k, _) => {
                matches!(workload, Workload::TcpBulk)
            }
            (Self::Equipoise, _) => true,
            (Self::EquipoiseSplice, protocol) => matches!(protocol, Protocol::Tcp),
            (Self::BareRing | Self::EquipoiseRing, protocol) => matches!(protocol, Protocol::Https),
            (Self::Gateway | Self::Pingora, protocol) => matches!(protocol, Protocol::Http),
        }
    }

    /// Builds the proxy for a workload, if it is written in Rust.
    pub(crate) fn build(self, workload: Workload) -> anyhow::Result<()> {
        match (self, self.program(workload)) {
            (Self::Gateway, _) => build::gateway(),
            (Self::Pingora, Some((name, _))) => build::program(name, &["--features", "pingora"]),
            (_, Some((name, _))) => build::program(name, &[]),
            (_, None) => Ok(()),
        }
    }

    /// Starts the proxy for a workload.
    pub(crate) fn start(self, workload: Workload, setup: &Setup) -> anyhow::Result<Process> {
        let (listen, directory) = (free_address()?, tempfile::tempdir()?);
        let (from_http2, to_http2, protocol) = (workload.is_from_http2(), workload.to_http2(), workload.protocol());
        let backends = setup.backends(workload);
        let certificate = (protocol == Protocol::Https).then_some(&setup.certificate);
        let file = directory.path().join("configuration");
        if let Some(users) = workload.function().and_then(|function| function.users) {
            fs::write(directory.path().join("users"), users)?;
        }
        let command = if let Some((name, settings)) = self.program(workload) {
            let mut command = Command::new(build::built(name)?);
            command.arg(listen.to_string()).args(settings);
            if let Some(certificate) = certificate {
                command.arg(certificate.certificate()).arg(certificate.key());
            }
            command.args(backends.iter().map(SocketAddr::to_string));
            command
        } else if self == Self::Gateway {
            fs::write(&file, configuration::gateway(listen, backends, to_http2, workload.function()))?;
            let mut command = Command::new(build::built("examples/gateway")?);
            command.arg("--config").arg(file).env("TOKIO_WORKER_THREADS", "1");
            command
        } else if self == Self::Nginx {
            let configuration = match protocol {
                Protocol::Http | Protocol::Https => {
                    configuration::nginx(listen, backends, from_http2, certificate, workload.function())
                }
                Protocol::Tcp => configuration::nginx_stream(listen, backends, false),
                Protocol::Udp => configuration::nginx_stream(listen, backends, true),
            };
            nginx(directory.path(), &configuration)?
        } else {
            let splice: &[&str] = match self {
                Self::HaproxySpliceAuto => &["splice-auto"],
                Self::HaproxySplice => &["splice-request", "splice-response"],
                _ => &[],
            };
            let configuration = match protocol {
                Protocol::Tcp => configuration::haproxy_tcp(listen, backends, splice),
                _ => configuration::haproxy(listen, backends, from_http2, to_http2, certificate),
            };
            fs::write(&file, configuration)?;
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(file);
            command
        };
        let is_ready = if protocol == Protocol::Udp { answers } else { accepts };
        Process::start(command, listen, is_ready, directory)
    }

    /// Returns the program of this package that is the proxy for a workload, and its arguments between the address to
    /// listen on and the addresses of the backends. With TLS, the files of the certificate and of its key follow them.
    fn program(self, workload: Workload) -> Option<(&'static str, Vec<String>)> {
        let version = |http2: bool| (if http2 { "http2" } else { "http1" }).to_owned();
        let versions = || vec![version(workload.is_from_http2()), version(workload.to_http2())];
        Some(match (self, workload.protocol()) {
            (Self::Nginx | Self::Haproxy | Self::HaproxySpliceAuto | Self::HaproxySplice | Self::Gateway, _) => {
                return None;
            }
            (Self::Equipoise, Protocol::Http) => match workload.function() {
                Some(function) => ("equipoise_functions", vec![function.argument()]),
                None => ("equipoise", versions()),
            },
            (Self::Equipoise, Protocol::Https) => ("equipoise_tls", vec!["aws-lc-rs".to_owned()]),
            (Self::Equipoise, Protocol::Tcp) => ("equipoise_tcp", vec!["copy".to_owned()]),
            (Self::Equipoise, Protocol::Udp) => ("equipoise_udp", vec![]),
            (Self::EquipoiseSplice, _) => ("equipoise_tcp", vec!["splice".to_owned()]),
            (Self::EquipoiseRing, _) => ("equipoise_tls", vec!["ring".to_owned()]),
            (Self::Bare, Protocol::Http) => ("bare", versions()),
            (Self::Bare, Protocol::Https) => ("bare_tls", vec!["aws-lc-rs".to_owned()]),
            (Self::Bare, Protocol::Tcp) => ("bare_tcp", vec!["8192".to_owned()]),
            (Self::Bare, Protocol::Udp) => ("bare_udp", vec![]),
            (Self::Bare64k, _) => ("bare_tcp", vec!["65536".to_owned()]),
            (Self::Bare256k, _) => ("bare_tcp", vec!["262144".to_owned()]),
            (Self::BareRing, _) => ("bare_tls", vec!["ring".to_owned()]),
            (Self::Pingora, _) => ("pingora", versions()),
        })
    }
}
