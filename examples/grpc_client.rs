//! A client that tonic has generated, balanced over three servers. One of them goes away, and no call notices.
//!
//! The service is gRPC's own health protocol, so that the example needs no `.proto` file; any generated client will do.
//!
//! ```text
//! cargo run --example grpc_client
//! ```

use std::{collections::BTreeMap, io, net::SocketAddr};

use equipoise::tower::{BalancedChannel, ServedBy, balanced_channel};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::{
    Code,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let [one, two, three] = [backend().await?, backend().await?, backend().await?];
    let leaving = format!("http://{}", two.address);

    let channel = balanced_channel([&one, &two, &three].map(|backend| format!("http://{}", backend.address)))?;

    println!("three servers:  {:?}", calls(&channel, 30).await?);
    two.stop().await?;
    println!("{leaving} stops.");
    let served = calls(&channel, 30).await?;
    println!("two servers:    {served:?}");
    anyhow::ensure!(!served.contains_key(&leaving), "a server that has stopped has answered");

    channel.pool().update([], |_| unreachable!("there is none to connect to"))?;
    println!("All are taken out.");
    let status = calls(&channel, 1).await.expect_err("there is no server").downcast::<tonic::Status>()?;
    println!("the caller is told:  {:?}: {}", status.code(), status.message());
    anyhow::ensure!(status.code() == Code::Unavailable);
    Ok(())
}

/// Makes calls; how many of them each server has answered.
async fn calls(channel: &BalancedChannel, calls: usize) -> anyhow::Result<BTreeMap<String, usize>> {
    let mut served = BTreeMap::new();
    let mut client = HealthClient::new(channel.clone());
    for _ in 0..calls {
        let answer = client.check(HealthCheckRequest { service: "orders".to_owned() }).await?;
        let by = answer.extensions().get().map(|ServedBy(endpoint)| endpoint.to_string()).unwrap_or_default();
        *served.entry(by).or_insert(0) += 1;
    }
    Ok(served)
}

struct Backend {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Backend {
    /// Closes its port, tells its clients by GOAWAY, and finishes what they have sent.
    async fn stop(self) -> anyhow::Result<()> {
        // Also when it has ended by itself.
        let _ = self.stop.send(());
        Ok(self.task.await??)
    }
}

/// A server that knows the service "orders".
async fn backend() -> io::Result<Backend> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("orders", ServingStatus::Serving).await;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let incoming = TcpIncoming::from(listener);
    let serving = Server::builder().add_service(health).serve_with_incoming_shutdown(incoming, async {
        // Told, or the program ends.
        let _ = stopped.await;
    });
    Ok(Backend { address, stop, task: tokio::spawn(serving) })
}
