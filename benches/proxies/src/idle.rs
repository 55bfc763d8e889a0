//! Memory of idle connections, and whether others are served meanwhile.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{load::Load, process::Backends, subject::Subject, workload::Workload};

/// The requests of others.
const OTHERS: Load = Load::Http1 { connections: 32, path: "small", body: 0 };
const SECONDS: u32 = 2;

const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nhost: app.test\r\n\r\n";
/// The time between the last request and the measurement, in which a proxy may free memory.
const PAUSE: Duration = Duration::from_secs(3);

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections to each subject, sends a request on each of them, and prints what each connection then costs.
pub(crate) fn compare(
    workload: Workload,
    subjects: &[Subject],
    backends: &Backends,
    connections: usize,
) -> anyhow::Result<()> {
    println!("\n### {connections} {}\n", workload.title());
    println!(
        "| proxy | bytes per connection | requests/s of others, before | meanwhile | p99, µs, before | meanwhile |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for subject in subjects {
        let proxy = subject.start(workload, backends)?;
        let before = OTHERS.run(proxy.address(), SECONDS)?;
        let memory = proxy.memory()?;
        let mut idle = open(proxy.address(), connections).with_context(|| subject.name())?;
        thread::sleep(PAUSE);
        let memory = proxy.memory()?.saturating_sub(memory) / connections as u64;
        let meanwhile = OTHERS.run(proxy.address(), SECONDS)?;
        // They are still open.
        for stream in idle.iter_mut().step_by(100) {
            exchange(stream).with_context(|| format!("{}: a connection was closed", subject.name()))?;
        }
        let rate = |requests: u64, seconds: f64| requests as f64 / seconds;
        println!(
            "| {} | {memory} | {:.0} | {:.0} | {:.0} | {:.0} |",
            subject.name(),
            rate(before.requests, before.seconds),
            rate(meanwhile.requests, meanwhile.seconds),
            before.p99,
            meanwhile.p99,
        );
    }
    Ok(())
}

fn open(address: SocketAddr, connections: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address).context("is the limit on open files (ulimit -n) too low?")?;
        stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        exchange(&mut stream)?;
        open.push(stream);
    }
    Ok(open)
}

/// Sends a request and reads its response.
fn exchange(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(REQUEST)?;
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while !response.ends_with(b"sixteen bytes...") {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the response is {:?}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&buffer[..read]);
    }
    ensure!(response.starts_with(b"HTTP/1.1 200"), "the response is {:?}", String::from_utf8_lossy(&response));
    Ok(())
}
