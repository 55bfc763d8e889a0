//! Real processes and real signals. The binary of this test is also the server.

use std::{
    env,
    io::{BufRead, BufReader, Read, stdin},
    process::{Child, Command, Stdio},
    time::Duration,
};

use equipoise::{RoundRobin, health::Schedule};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    load::{Load, errors, no_errors},
    server::{Mode, Server},
    setup::{INTERVAL, World, checked},
};

const ROLE: &str = "EQUIPOISE_TEST_IS_A_SERVER";
const MARK: &str = "listens on ";

/// The server process, not a test. It ends with its input.
#[test]
fn the_server() {
    if env::var_os(ROLE).is_some() {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(async { Server::start(Mode::WELL) });
        println!("\n{MARK}{}", server.address());
        let _ = stdin().read_to_end(&mut Vec::new());
    }
}

/// A process that answers requests until it is killed or dropped.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start() -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "processes::the_server", "--nocapture"]).env(ROLE, "yes");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().strip_prefix(MARK)?.to_owned()));
        Self { child, address: address.expect("it prints its address") }
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn three() -> [Process; 3] {
    [(); 3].map(|()| Process::start())
}

#[cfg_attr(not(unix), ignore = "there are no signals here")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_causes_no_errors() {
    let servers = three();
    let addresses = servers.each_ref().map(|server| server.address.clone());
    let mut world = World::start(checked(), RoundRobin::new(), addresses);
    let load = Load::start(&world.balanced);
    load.more(50).await;
    servers[1].signal("-KILL");
    world.out("2").await;
    load.more(50).await;
    no_errors(&load.end().await);
}

#[cfg_attr(not(unix), ignore = "there are no signals here")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_process_causes_errors_until_its_checks_fail() {
    let servers = three();
    let addresses = servers.each_ref().map(|server| server.address.clone());
    let timeout = Duration::from_millis(100);
    let schedule = Schedule::new().interval(INTERVAL).timeout(timeout).fall(3).jitter(0.0);
    let mut world = World::hasty(schedule, addresses);
    let load = Load::start(&world.balanced);
    load.more(50).await;
    world.in_service("2").await;
    servers[1].signal("-STOP");
    let out = world.out_within(INTERVAL + timeout * 3, Instant::now(), "2").await;
    load.more(50).await;
    servers[1].signal("-CONT");
    world.back("2").await;
    load.more(50).await;
    let samples = load.end().await;
    let late = errors(&samples).into_iter().find(|sample| sample.began > out);
    assert!(late.is_none(), "{late:?}");
}
