//! Many connections while something breaks.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use equipoise_core::Availability;
use equipoise_proxy::{
    listen::bind_shared,
    tcp::{TcpProxy, TcpSettings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::rig::*;

/// Clients that connect, exchange some bytes and close, again and again.
struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    bad: Arc<AtomicU64>,
}

impl Load {
    fn start(address: SocketAddr, clients: usize) -> Self {
        let load = Self { tasks: JoinSet::new(), stop: Arc::default(), good: Arc::default(), bad: Arc::default() };
        let mut load = load;
        for _ in 0..clients {
            let (stop, good, bad) = (Arc::clone(&load.stop), Arc::clone(&load.good), Arc::clone(&load.bad));
            load.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let result = if conversation(address).await.is_ok() { &good } else { &bad };
                    result.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    fn served(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    fn failed(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// Waits until some more conversations were good.
    async fn proceeds(&self) {
        let goal = self.served() + 200;
        until(|| self.served() >= goal).await;
    }

    async fn end(mut self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        (self.served(), self.failed())
    }
}

async fn conversation(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for length in [1, 100, 3000] {
        stream.write_all(&vec![7; length]).await?;
        stream.read_exact(&mut vec![0; length]).await?;
    }
    Ok(())
}

/// An endpoint that can be killed: its connections are reset, and its port refuses.
struct Mortal {
    address: SocketAddr,
    life: tokio::task::JoinHandle<()>,
}

impl Mortal {
    async fn start() -> Self {
        let (listener, address) = listener().await;
        let life = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
                connections.spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, life }
    }

    /// Returns when the port refuses.
    async fn kill(self) -> SocketAddr {
        self.life.abort();
        let _ = self.life.await;
        self.address
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_endpoint_costs_only_its_open_connections() {
    const CLIENTS: usize = 8;
    let (mortal, good) = (Mortal::start().await, echoing().await);
    let rig = start(&[mortal.address, good], TcpSettings::new()).await;
    let load = Load::start(rig.address, CLIENTS);
    load.proceeds().await;
    assert_eq!(load.failed(), 0);
    let dead = mortal.kill().await;
    load.proceeds().await;
    load.proceeds().await;
    let (served, failed) = load.end().await;
    // Those that were open, and those that were being accepted while it died.
    assert!(failed <= 2 * CLIENTS as u64, "{failed} of {served} have failed");
    assert!(rig.status(dead).requests.failure_connect > 0);
    until(|| rig.in_flight() == 0 && rig.proxy.stats().open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_and_a_change_of_endpoints_fail_no_connection() {
    let endpoints = [echoing().await, echoing().await, echoing().await];
    let rig = start(&endpoints, TcpSettings::new()).await;
    let load = Load::start(rig.address, 8);
    for endpoint in endpoints.iter().map(ToString::to_string) {
        load.proceeds().await;
        rig.pool.drain(endpoint.as_str()).expect("it is there");
        rig.pool.idle(endpoint.as_str()).await;
        load.proceeds().await;
        rig.pool.set_availability(endpoint.as_str(), Availability::Up).expect("it is there");
    }
    let (_, failed) = load.end().await;
    assert_eq!(failed, 0);
    until(|| rig.in_flight() == 0).await;
}

/// Another proxy takes the port over while clients connect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_while_listeners_are_restarted() {
    let good = echoing().await;
    let endpoints = pool(equipoise_core::RoundRobin::new(), &[good]);
    let any = ([127, 0, 0, 1], 0).into();
    let mut listener = bind_shared(any, 1).expect("a free port").remove(0);
    let address = listener.local_addr().expect("bound");
    let mut load = None;
    for _ in 0..4 {
        let proxy = TcpProxy::new(endpoints.clone());
        let serving = tokio::spawn(proxy.serve(TcpListener::from_std(listener).expect("a listener")));
        load.get_or_insert_with(|| Load::start(address, 8)).proceeds().await;
        // The next one shares the port before this one leaves it.
        listener = bind_shared(address, 1).expect("shared").remove(0);
        let next = TcpProxy::new(endpoints.clone());
        let next_serving = tokio::spawn(next.serve(TcpListener::from_std(listener).expect("a listener")));
        assert_eq!(proxy.shutdown(LONG).await, 0);
        serving.await.expect("no panic");
        load.as_ref().expect("started").proceeds().await;
        listener = bind_shared(address, 1).expect("shared").remove(0);
        let _ = (next.shutdown(LONG).await, next_serving.await);
    }
    let last = TcpProxy::new(endpoints.clone());
    let _serving = tokio::spawn(last.serve(TcpListener::from_std(listener).expect("a listener")));
    let (served, failed) = load.expect("started").end().await;
    // The system resets connections that come between the last one that is accepted and the end of a listener.
    assert!(failed * 100 <= served, "{failed} of {served} have failed");
    until(|| endpoints.endpoints()[0].in_flight == 0).await;
}

/// Clients that vanish at any time leave nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lease_returns() {
    let endpoints = [echoing().await, refusing().await, endpoint(async |stream| reset(stream)).await];
    let rig = start(&endpoints, TcpSettings::new().idle_timeout(SHORT)).await;
    let mut clients = JoinSet::new();
    for number in 0..400_usize {
        let address = rig.address;
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            match number % 5 {
                0 => reset(stream),
                1 => drop(stream),
                2 => {
                    stream.write_all(&vec![1; number * 100]).await?;
                    reset(stream);
                }
                3 => {
                    stream.write_all(b"hello").await?;
                    stream.shutdown().await?;
                    stream.read_to_end(&mut Vec::new()).await?;
                }
                // Half-open: it is never heard of again.
                _ => {
                    stream.read_to_end(&mut Vec::new()).await?;
                }
            }
            std::io::Result::Ok(())
        });
    }
    clients.join_all().await;
    until(|| rig.in_flight() == 0 && rig.proxy.stats().open == 0).await;
    let counted: u64 = rig.pool.endpoints().iter().map(|status| status.requests.total).sum();
    let stats = rig.proxy.stats();
    assert_eq!(stats.accepted, 400);
    assert_eq!(counted, 400 + stats.failovers, "each attempt is one lease");
}
