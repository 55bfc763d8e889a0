//! nginx and HAProxy: a process beside the program, with a configuration in a temporary directory.

use std::{
    fmt::Write as _,
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures::{FutureExt, future::BoxFuture};
use http::Uri;
use tempfile::TempDir;

use super::client::{HttpClient, Subject, http_client, request, succeeded};

/// How long a proxy may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// A running proxy. Its process ends when the value is dropped.
pub(super) struct Proxy {
    process: Child,
    client: HttpClient,
    uri: Uri,
    _directory: TempDir,
}

/// Starts nginx.
pub(super) fn nginx(backends: &[SocketAddr]) -> anyhow::Result<Proxy> {
    let listen = free_address()?;
    let mut servers = String::new();
    for backend in backends {
        writeln!(servers, "server {backend};")?;
    }
    let configuration = format!(
        "worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit;
         events {{ worker_connections 8192; }}
         http {{
           access_log off;
           client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
           uwsgi_temp_path uwsgi; scgi_temp_path scgi;
           upstream backends {{ least_conn; {servers} keepalive 512; keepalive_requests 10000000; }}
           server {{
             listen {listen}; keepalive_requests 10000000; tcp_nodelay on;
             location / {{
               proxy_pass http://backends; proxy_http_version 1.1; proxy_set_header Connection \"\";
             }}
           }}
         }}"
    );
    Proxy::start("nginx", configuration, listen, |command, directory, file| {
        command.args(["-p", directory, "-c", file]);
    })
}

/// Starts HAProxy.
pub(super) fn haproxy(backends: &[SocketAddr]) -> anyhow::Result<Proxy> {
    let listen = free_address()?;
    let mut servers = String::new();
    for (n, backend) in backends.iter().enumerate() {
        writeln!(servers, "  server s{n} {backend}")?;
    }
    let configuration = format!(
        "global\n  nbthread 1\n  maxconn 8192\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend in\n  bind {listen}\n  default_backend backends\n\
         backend backends\n  balance leastconn\n  http-reuse always\n{servers}"
    );
    Proxy::start("haproxy", configuration, listen, |command, _, file| {
        command.args(["-db", "-f", file]);
    })
}

impl Proxy {
    fn start(
        program: &str,
        configuration: String,
        listen: SocketAddr,
        arguments: impl FnOnce(&mut Command, &str, &str),
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("proxy.conf");
        fs::write(&file, configuration)?;
        let mut command = Command::new(program);
        arguments(&mut command, &directory.path().to_string_lossy(), &file.to_string_lossy());
        let process = command
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} cannot be started; is it installed?"))?;
        let uri = format!("http://{listen}/").parse()?;
        let mut proxy = Self { process, client: http_client(), uri, _directory: directory };
        let started = Instant::now();
        while TcpStream::connect(listen).is_err() {
            if let Some(status) = proxy.process.try_wait()? {
                bail!("{program} ended with {status}");
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("{program} does not accept connections");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(proxy)
    }
}

/// Returns an address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

impl Subject for Proxy {
    fn send(&self, service: Duration) -> BoxFuture<'static, bool> {
        let response = self.client.request(request(self.uri.clone(), service));
        Box::pin(response.then(succeeded))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // SIGTERM ends both at once. SIGKILL would leave nginx's worker process behind.
        let pid = self.process.id().to_string();
        let ended = Command::new("kill").args(["-s", "TERM", &pid]).status();
        if !ended.is_ok_and(|status| status.success()) {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}
