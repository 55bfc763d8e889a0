//! A connection pool of PostgreSQL through the TCP proxy, while an endpoint drains.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use equipoise::Availability;
use equipoise_tests::{Reserved, program, run, soon};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::{
    folder::Folder,
    tcp::{Proxy, port, serve},
};

/// The programs of a server. PostgreSQL refuses to run as root, so `runuser` starts them as its own user then.
struct Server {
    programs: PathBuf,
    as_user: Option<PathBuf>,
}

impl Server {
    /// Finds the server of the newest version, where Debian installs it.
    fn find() -> Option<Self> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest =
            versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("postgres").exists()).max();
        let Some(programs) = newest else {
            eprintln!("SKIPPED: no server in /usr/lib/postgresql (Debian: apt-get install postgresql)");
            return None;
        };
        let is_root = fs::read_dir("/root").is_ok();
        let as_user = if is_root { Some(program("runuser", "util-linux")?) } else { None };
        Some(Self { programs, as_user })
    }

    fn command(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        match &self.as_user {
            None => Command::new(program),
            Some(runuser) => {
                let mut command = Command::new(runuser);
                command.args(["-u", "postgres", "--"]).arg(program);
                command
            }
        }
    }

    /// Creates the files of a database.
    async fn create(&self, folder: &Path) {
        if self.as_user.is_some() {
            run(Path::new("/bin/chown"), ["postgres".as_ref(), folder.as_os_str()]).await;
        }
        let mut command = self.command("initdb");
        command.args(["--no-sync", "--auth", "trust", "--username", "postgres", "--pgdata"]).arg(folder.join("data"));
        let output = soon(command.current_dir("/").output()).await.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn start(&self, folder: &Path, address: &str) -> Child {
        let mut command = self.command("postgres");
        command.arg("-D").arg(folder.join("data")).args(["-h", "127.0.0.1", "-p", port(address), "-F", "-k"]);
        serve(command.arg(folder).current_dir("/"), address).await
    }
}

/// One connection of a pool: a session of psql.
struct Session {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    child: Child,
    /// The port of the server that serves it.
    server: String,
}

impl Session {
    async fn open(psql: &Path, proxy: &Proxy) -> Self {
        let mut command = Command::new(psql);
        command.args(["-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-U", "postgres", "-p", &*proxy.port, "postgres"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("a program that can be started");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut session = Self { input, output, child, server: String::new() };
        session.server = session.ask("select inet_server_port()").await;
        session
    }

    async fn ask(&mut self, query: &str) -> String {
        self.input.write_all(format!("{query};\n").as_bytes()).await.expect("psql runs");
        soon(self.output.next_line()).await.expect("text").expect("an answer")
    }

    async fn close(mut self) {
        drop(self.input);
        assert!(soon(self.child.wait()).await.expect("its state").success());
    }
}

#[tokio::test]
async fn a_connection_pool_moves_to_another_server_while_one_drains() {
    let Some(psql) = program("psql", "postgresql-client") else { return };
    let Some(server) = Server::find() else { return };
    let (folders, addresses) =
        ([Folder::new(), Folder::new()], [(); 2].map(|()| Reserved::new().expect("a free port").address()));
    let mut processes = Vec::new();
    for (folder, address) in folders.iter().zip(&addresses) {
        server.create(folder.path()).await;
        processes.push(server.start(folder.path(), address).await);
    }
    let proxy = Proxy::start(addresses.iter().map(String::as_str)).await;
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(Session::open(&psql, &proxy).await);
    }
    let drained = &addresses[0];
    assert_eq!((proxy.status(drained).in_flight, proxy.status(&addresses[1]).in_flight), (3, 3));

    // A transaction that is open goes on while its server drains.
    for session in &mut sessions {
        assert_eq!(
            session
                .ask("begin; create temporary table t as select generate_series(1, 1000) n; select count(*) from t")
                .await,
            "1000"
        );
    }
    proxy.pool.drain(drained.as_str()).expect("it is there");
    for session in &mut sessions {
        assert_eq!(session.ask("insert into t select n from t; select count(*) from t").await, "2000");
        assert_eq!(session.ask("commit; select sum(n) from t").await, "1001000");
    }
    assert_eq!(proxy.status(drained).in_flight, 3);

    // The pool replaces its connections one by one, as it does when they are old.
    for _ in 0..6 {
        let old = sessions.remove(0);
        old.close().await;
        let mut new = Session::open(&psql, &proxy).await;
        assert_eq!(new.server, port(&addresses[1]));
        assert_eq!(new.ask("select length(repeat('x', 5000000))").await, "5000000");
        sessions.push(new);
    }
    soon(proxy.pool.idle(drained.as_str())).await;
    proxy.pool.set_availability(drained.as_str(), Availability::Maintenance).expect("it is there");
    drop(processes.remove(0));
    for session in &mut sessions {
        assert_eq!(session.ask("select 1").await, "1");
    }
    for session in sessions {
        session.close().await;
    }
    proxy.is_idle().await;
    let (old, new) = (proxy.status(drained), proxy.status(&addresses[1]));
    assert_eq!((old.requests.success, new.requests.success), (3, 9));
}
