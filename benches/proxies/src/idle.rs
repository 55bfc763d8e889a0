//! Memory of idle connections, and whether others are served meanwhile.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{
    certificate,
    load::{Load, Outcome},
    setup::Setup,
    subject::Subject,
    workload::{Protocol, Workload},
};

/// Length of the requests of others.
const SECONDS: u32 = 2;

const REQUEST: &[u8] = b"GET /small HTTP/1.1\r\nhost: app.test\r\n\r\n";
/// The time between the last request and the measurement, in which a proxy may free memory.
const PAUSE: Duration = Duration::from_secs(3);

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An idle connection, with or without TLS.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// Opens connections to each subject, sends a request on each of them, and prints what each connection then costs.
pub(crate) fn compare(
    workload: Workload,
    subjects: &[Subject],
    setup: &Setup,
    connections: usize,
) -> anyhow::Result<()> {
    let tls = workload.protocol() == Protocol::Https;
    let others = |proxy| {
        Load::Http1 { connections: 32, path: "small", body: 0, tls, field: None }.run(
            proxy,
            &setup.certificate,
            SECONDS,
        )
    };
    let client = tls.then(|| setup.certificate.client()).transpose()?;
    let open = |address| -> anyhow::Result<Vec<Box<dyn Connection>>> {
        let open = || -> anyhow::Result<_> {
            let stream = connect(address)?;
            let mut connection: Box<dyn Connection> = match &client {
                Some(client) => Box::new(certificate::connect(client.clone(), stream)?),
                None => Box::new(stream),
            };
            exchange(&mut connection)?;
            Ok(connection)
        };
        (0..connections).map(|_| open()).collect()
    };
    println!("\n### {connections} {}\n", workload.title());
    println!(
        "| proxy | bytes per connection | requests/s of others, before | meanwhile | p99, µs, before | meanwhile |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for subject in subjects {
        let (proxy, name) = (subject.start(workload, setup)?, subject.name(workload));
        let before = others(proxy.address())?;
        let memory = proxy.memory()?;
        let mut idle = open(proxy.address()).context(name)?;
        #[expect(clippy::disallowed_methods, reason = "memory is measured after a while, whatever happens")]
        thread::sleep(PAUSE);
        let memory = proxy.memory()?.saturating_sub(memory) / connections as u64;
        let meanwhile = others(proxy.address())?;
        // They are still open.
        for connection in idle.iter_mut().step_by(100) {
            exchange(connection).with_context(|| format!("{name}: a connection was closed"))?;
        }
        let rate = |outcome: &Outcome| outcome.count as f64 / outcome.seconds;
        let p99 = |outcome: &Outcome| outcome.latency.as_ref().map_or(f64::NAN, |latency| latency.p99);
        println!(
            "| {name} | {memory} | {:.0} | {:.0} | {:.0} | {:.0} |",
            rate(&before),
            rate(&meanwhile),
            p99(&before),
            p99(&meanwhile),
        );
    }
    Ok(())
}

fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).context("is the limit on open files (ulimit -n) too low?")?;
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    Ok(stream)
}

/// Sends a request and reads its response.
fn exchange(connection: &mut Box<dyn Connection>) -> anyhow::Result<()> {
    connection.write_all(REQUEST)?;
    let mut response = Vec::new();
    let mut buffer = [0; 1024];
    while !response.ends_with(b"sixteen bytes...") {
        let read = connection.read(&mut buffer)?;
        ensure!(read > 0, "the response is {:?}", String::from_utf8_lossy(&response));
        response.extend_from_slice(&buffer[..read]);
    }
    ensure!(response.starts_with(b"HTTP/1.1 200"), "the response is {:?}", String::from_utf8_lossy(&response));
    Ok(())
}
