use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use equipoise_tests::{Reserved, program, soon};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::interval,
};

use crate::folder::Folder;

/// A server process. It is killed when the value is dropped.
pub(crate) struct Process {
    pub(crate) address: String,
    _child: Child,
    _files: Folder,
}

impl Process {
    /// Starts a program of Python, and waits until it has printed its port.
    pub(crate) async fn python(python: &Path, arguments: &[&str], files: Folder) -> Self {
        let mut command = Command::new(python);
        command.arg("-u").args(arguments).current_dir(files.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("a program that can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = soon(lines.next_line()).await.expect("text").expect("it prints its port");
        let port = line.split_once("port ").and_then(|(_, rest)| rest.split(' ').next());
        let address = format!("127.0.0.1:{}", port.unwrap_or_else(|| panic!("no port in {line:?}")));
        Self { address, _child: child, _files: files }
    }

    /// Starts nginx with the directives of a server, and the root folder `files`. `None` if nginx is not installed.
    pub(crate) async fn nginx(directives: &str, files: Folder) -> Option<Self> {
        Self::nginx_listening("", directives, files).await
    }

    /// Starts nginx as [`nginx`](Self::nginx) does, with parameters of its `listen`.
    pub(crate) async fn nginx_listening(parameters: &str, directives: &str, files: Folder) -> Option<Self> {
        let port = Reserved::new().expect("a free port");
        let folder = files.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
            .concat();
        let http = format!(
            "http {{
                access_log off; {temporary}
                log_format read escape=none '$request_method $request_uri $http_host';
                server {{ listen {} {parameters}; root {folder}; {directives} }}
            }}",
            port.address()
        );
        Self::nginx_with(&http, port, files).await
    }

    /// Starts nginx with the directives of a server of its module for streams. `None` if it is not installed.
    pub(crate) async fn nginx_stream(directives: &str) -> Option<Self> {
        const MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
        if !Path::new(MODULE).exists() {
            eprintln!("SKIPPED: no {MODULE} (Debian: apt-get install libnginx-mod-stream)");
            return None;
        }
        let (port, files) = (Reserved::new().expect("a free port"), Folder::new());
        let stream = format!("stream {{ server {{ listen {}; {directives} }} }}", port.address());
        // Modules must be loaded first.
        fs::write(files.path().join("modules.conf"), format!("load_module {MODULE};")).expect("a file");
        Self::nginx_with(&stream, port, files).await
    }

    async fn nginx_with(block: &str, port: Reserved, files: Folder) -> Option<Self> {
        let nginx = program("nginx", "nginx-light")?;
        let folder = files.path().display();
        let config = format!(
            "include {folder}/modules*.conf;
            daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
            events {{ worker_connections 512; }}
            {block}"
        );
        fs::write(files.path().join("nginx.conf"), config).expect("a file");
        let mut command = Command::new(nginx);
        command.arg("-c").arg(files.path().join("nginx.conf")).arg("-p").arg(files.path());
        Some(Self::start(command, port, files).await)
    }

    /// Starts HAProxy with one section that listens at `{bind}`, which stands for an address. `None` if it is not
    /// installed.
    pub(crate) async fn haproxy(section: &str, files: Folder) -> Option<Self> {
        let haproxy = program("haproxy", "haproxy")?;
        let port = Reserved::new().expect("a free port");
        let config = format!(
            "global
                maxconn 512
            defaults
                mode http
                timeout connect 10s
                timeout client 60s
                timeout server 60s
            listen test
                {}\n",
            section.replace("{bind}", &port.address())
        );
        fs::write(files.path().join("haproxy.cfg"), config).expect("a file");
        let mut command = Command::new(haproxy);
        command.arg("-db").arg("-f").arg(files.path().join("haproxy.cfg"));
        command.stdout(Stdio::null());
        Some(Self::start(command, port, files).await)
    }

    /// Starts a server, and waits until it listens. What it prints about errors is in the file `error.log`.
    async fn start(mut command: Command, port: Reserved, files: Folder) -> Self {
        let errors = fs::OpenOptions::new().create(true).append(true).open(files.path().join("error.log"));
        command.stdin(Stdio::null()).stderr(errors.expect("a file")).kill_on_drop(true);
        let mut child = command.spawn().expect("a program that can be started");
        let mut tick = interval(Duration::from_millis(5));
        soon(async {
            while TcpStream::connect(port.address()).await.is_err() {
                assert!(child.try_wait().expect("its state").is_none(), "{command:?} has ended: {}", log(&files));
                tick.tick().await;
            }
        })
        .await;
        Self { address: port.address(), _child: child, _files: files }
    }
}

/// Returns the path of a script beside these tests.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("proxy/python").join(name)
}

fn log(files: &Folder) -> String {
    fs::read_to_string(files.path().join("error.log")).unwrap_or_default()
}
