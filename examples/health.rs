//! Each kind of health check, against its own server on loopback. The servers start, become unhealthy and recover, and
//! the program prints each change of availability. It ends on its own, and fails if a change is not as expected.
//!
//! ```text
//! cargo run --example health
//! ```

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use equipoise::{
    Availability, EndpointSpec, LogEwma, Pool,
    health::{
        AvailabilityChange, Health, InitialState, Schedule,
        probe::{AgentProbe, GrpcProbe, HttpProbe, PingProbe, Probe, TcpProbe, TlsProbe, probe_fn},
    },
};
use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll, poll_fn},
};
use http::{Response, StatusCode};
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tonic_health::{ServingStatus, server::health_reporter};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let failing = Failing::default();
    let mut watch = Watch::new();

    // Opens a connection, sends a line and expects a certain answer.
    watch.add("tcp", tcp_server(&failing).await?, TcpProbe::new().send("PING\r\n").expect_prefix("+PONG")?)?;

    // Completes a TLS handshake; the certificate must be trusted and for this name.
    let (acceptor, tls) = self_signed()?;
    watch.add("tls", tls_server(&failing, acceptor).await?, tls.server_name("localhost")?)?;

    // Sends a request; the status and the body must be as expected.
    let http = HttpProbe::new("/healthz?full=1")?.host("shop.example.com")?.statuses([200..=204])?;
    watch.add("http", http_server(&failing).await?, http.body_contains("\"ready\":true")?)?;

    // Asks for the health of one service by gRPC's health protocol (grpc.health.v1).
    watch.add("grpc", grpc_server(&failing).await?, GrpcProbe::new().service("shop.v1.Basket"))?;

    // Asks a program on the endpoint for its state; see equipoise::health::agent.
    watch.add("agent", agent(&failing).await?, AgentProbe::new().send("how are you?\n"))?;

    // Any other check is a closure.
    let disk = failing.clone();
    let closure = probe_fn(move |_| {
        let full = disk.now();
        async move { if full { Err("the disk is full") } else { Ok(()) } }
    });
    watch.add("closure", "anywhere:1".to_owned(), closure)?;

    // Sends an ICMP echo, if the system permits it. The system itself answers, so this endpoint never becomes
    // unhealthy.
    match PingProbe::new() {
        Ok(ping) => watch.add("ping", "127.0.0.1".to_owned(), ping)?,
        Err(forbidden) => println!("        ping     skipped: {forbidden}"),
    }

    let all = watch.names.clone();
    let fails = ["tcp", "tls", "http", "grpc", "agent", "closure"];
    println!("each must pass once before it is used");
    let mut came = watch.until(&all, |to| to == Availability::Up).await;
    println!("the servers fail");
    failing.set(true);
    came &= watch.until(&fails, |to| matches!(to, Availability::Unhealthy | Availability::Maintenance)).await;
    println!("the servers recover");
    failing.set(false);
    came &= watch.until(&fails, |to| to == Availability::Up).await;
    Ok(if came { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One pool for each endpoint, because each has a different check, and the changes of all pools.
struct Watch {
    began: Instant,
    names: Vec<&'static str>,
    changes: SelectAll<BoxStream<'static, AvailabilityChange>>,
    /// The guards of the health checks. The checks end when they are dropped.
    checking: Vec<equipoise::health::HealthGuard>,
}

impl Watch {
    fn new() -> Self {
        Self { began: Instant::now(), names: Vec::new(), changes: SelectAll::new(), checking: Vec::new() }
    }

    fn add(&mut self, name: &'static str, address: String, probe: impl Probe) -> anyhow::Result<()> {
        let millis = Duration::from_millis;
        let schedule =
            Schedule::new().interval(millis(300)).fast_interval(millis(100)).initial_state(InitialState::MustPass);
        let health = Health::builder().check(name, schedule, probe).build()?;
        let mut changes = health.changes();
        self.changes.push(poll_fn(move |cx| changes.poll_next(cx)).boxed());
        // The endpoint starts in maintenance; its first passed check brings it up.
        let pool = Pool::<()>::builder(LogEwma::new()).initial_availability(Availability::Maintenance).build();
        self.checking.push(health.spawn(&pool));
        pool.add(EndpointSpec::new(address).with_id(name), ())?;
        self.names.push(name);
        Ok(())
    }

    /// Prints changes until all of these endpoints have the wanted availability. Returns `false` after 20 s.
    async fn until(&mut self, names: &[&str], wanted: impl Fn(Availability) -> bool) -> bool {
        let mut waiting = names.to_vec();
        let heard = async {
            while !waiting.is_empty() {
                let Some(AvailabilityChange { id, from, to, source, reason, .. }) = self.changes.next().await else {
                    return;
                };
                println!("{:5.2} s  {id:<8} {from} → {to}  ({source}: {reason})", self.began.elapsed().as_secs_f64());
                if wanted(to) {
                    waiting.retain(|name| *name != id.as_str());
                }
            }
        };
        let _ = timeout(Duration::from_secs(20), heard).await;
        if !waiting.is_empty() {
            println!("        no such change for: {}", waiting.join(", "));
        }
        waiting.is_empty()
    }
}

/// Whether the servers fail.
#[derive(Clone, Default)]
struct Failing(Arc<AtomicBool>);

impl Failing {
    fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, failing: bool) {
        self.0.store(failing, Ordering::Relaxed);
    }
}

/// Accepts connections as long as the program runs.
async fn serve<F, Fut>(with: F) -> io::Result<String>
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(with(stream));
        }
    });
    Ok(address)
}

/// Answers each line of the client with one line.
async fn lines(failing: &Failing, when_well: &'static str, when_ill: &'static str) -> io::Result<String> {
    let failing = failing.clone();
    serve(move |mut stream| {
        let answer = if failing.now() { when_ill } else { when_well };
        async move {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

async fn tcp_server(failing: &Failing) -> io::Result<String> {
    lines(failing, "+PONG\r\n", "-LOADING the dataset\r\n").await
}

async fn agent(failing: &Failing) -> io::Result<String> {
    lines(failing, "up 75%\n", "down # a backup is running\n").await
}

async fn tls_server(failing: &Failing, acceptor: TlsAcceptor) -> io::Result<String> {
    let failing = failing.clone();
    serve(move |stream| {
        let (failing, acceptor) = (failing.clone(), acceptor.clone());
        async move {
            if !failing.now() {
                let _ = acceptor.accept(stream).await;
            }
        }
    })
    .await
}

async fn http_server(failing: &Failing) -> io::Result<String> {
    let failing = failing.clone();
    serve(move |stream| {
        let failing = failing.clone();
        let respond = service_fn(move |_| {
            let mut response = Response::new(format!("{{\"ready\":{}}}\n", !failing.now()));
            if failing.now() {
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            }
            async { Ok::<_, Infallible>(response) }
        });
        async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await;
        }
    })
    .await
}

async fn grpc_server(failing: &Failing) -> io::Result<String> {
    let failing = failing.clone();
    serve(move |stream| {
        let status = if failing.now() { ServingStatus::NotServing } else { ServingStatus::Serving };
        async move {
            let (reporter, service) = health_reporter();
            reporter.set_service_status("shop.v1.Basket", status).await;
            let service = TowerToHyperService::new(service);
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// Creates a TLS acceptor for `localhost` and a probe that trusts the certificate of this acceptor only.
fn self_signed() -> anyhow::Result<(TlsAcceptor, TlsProbe)> {
    // The provider is named here, because several may be compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(server)), TlsProbe::with_config(client)))
}
