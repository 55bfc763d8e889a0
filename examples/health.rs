//! Each kind of health check, against servers of its own on loopback: they start, fall ill and recover, and what the
//! checks make of it is printed as it comes. Ends by itself; fails if something else came than was expected.
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
    Availability, EndpointSpec, PeakEwma, Pool,
    health::{
        Change, Health, Schedule, Start,
        probe::{Agent, Grpc, Http, Ping, Probe, Tcp, Tls, probe_fn},
    },
};
use futures::{StreamExt, channel::mpsc::UnboundedReceiver, stream::SelectAll};
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
    let ill = Ill::default();
    let mut watch = Watch::new();

    // A connection comes about, and something is said over it.
    watch.add("tcp", tcp_server(&ill).await?, Tcp::new().send("PING\r\n").expect_prefix("+PONG")?)?;

    // The handshake succeeds, with a certificate that is trusted, for the right name.
    let (acceptor, tls) = self_signed()?;
    watch.add("tls", tls_server(&ill, acceptor).await?, tls.server_name("localhost")?)?;

    // The status is as expected, and there is something in the body.
    let http = Http::new("/healthz?full=1")?.host("shop.example.com")?.statuses([200..=204])?;
    watch.add("http", http_server(&ill).await?, http.body_contains("\"ready\":true")?)?;

    // grpc.health.v1, of one service.
    watch.add("grpc", grpc_server(&ill).await?, Grpc::new().service("shop.v1.Basket"))?;

    // A program on the endpoint says how it is; see equipoise::health::agent.
    watch.add("agent", agent(&ill).await?, Agent::new().send("how are you?\n"))?;

    // Anything else: a closure.
    let disk = ill.clone();
    let closure = probe_fn(move |_| {
        let full = disk.now();
        async move { if full { Err("the disk is full") } else { Ok(()) } }
    });
    watch.add("closure", "anywhere:1".to_owned(), closure)?;

    // An ICMP echo, where the system lets us. What answers here is the system itself, so it does not fall ill.
    match Ping::new() {
        Ok(ping) => watch.add("ping", "127.0.0.1".to_owned(), ping)?,
        Err(forbidden) => println!("        ping     is left out: {forbidden}"),
    }

    let all = watch.names.clone();
    let fall_ill = ["tcp", "tls", "http", "grpc", "agent", "closure"];
    println!("all of them have to pass once before they are used");
    let mut came = watch.until(&all, |to| to == Availability::Up).await;
    println!("they fall ill");
    ill.set(true);
    came &= watch.until(&fall_ill, |to| matches!(to, Availability::Unhealthy | Availability::Maintenance)).await;
    println!("they recover");
    ill.set(false);
    came &= watch.until(&fall_ill, |to| to == Availability::Up).await;
    Ok(if came { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Pools of one endpoint each, since each is checked otherwise; and what is said about all of them.
struct Watch {
    began: Instant,
    names: Vec<&'static str>,
    changes: SelectAll<UnboundedReceiver<Change>>,
    /// They are checked until these are dropped.
    checking: Vec<equipoise::health::Guard>,
}

impl Watch {
    fn new() -> Self {
        Self { began: Instant::now(), names: Vec::new(), changes: SelectAll::new(), checking: Vec::new() }
    }

    fn add(&mut self, name: &'static str, address: String, probe: impl Probe) -> anyhow::Result<()> {
        let millis = Duration::from_millis;
        let schedule = Schedule::new().interval(millis(300)).fast(millis(100)).start(Start::MustPass);
        let health = Health::builder().check(name, schedule, probe).build()?;
        self.changes.push(health.changes());
        // This is all that a pool takes.
        let pool = Pool::<()>::builder(PeakEwma::new()).initial_availability(Availability::Maintenance).build();
        self.checking.push(health.spawn(&pool));
        pool.add(EndpointSpec::new(address).with_id(name), ())?;
        self.names.push(name);
        Ok(())
    }

    /// Prints what changes until that has become of all of these; `false` if it takes too long.
    async fn until(&mut self, names: &[&str], wanted: impl Fn(Availability) -> bool) -> bool {
        let mut waiting = names.to_vec();
        let heard = async {
            while !waiting.is_empty() {
                let Some(Change { id, from, to, source, reason, .. }) = self.changes.next().await else { return };
                println!("{:5.2} s  {id:<8} {from} → {to}  ({source}: {reason})", self.began.elapsed().as_secs_f64());
                if wanted(to) {
                    waiting.retain(|name| *name != id.as_str());
                }
            }
        };
        let _ = timeout(Duration::from_secs(20), heard).await;
        if !waiting.is_empty() {
            println!("        nothing came of: {}", waiting.join(", "));
        }
        waiting.is_empty()
    }
}

/// Whether the servers are ill.
#[derive(Clone, Default)]
struct Ill(Arc<AtomicBool>);

impl Ill {
    fn now(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, ill: bool) {
        self.0.store(ill, Ordering::Relaxed);
    }
}

/// Accepts for as long as the program runs.
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

/// Answers a line with a line.
async fn lines(ill: &Ill, when_well: &'static str, when_ill: &'static str) -> io::Result<String> {
    let ill = ill.clone();
    serve(move |mut stream| {
        let answer = if ill.now() { when_ill } else { when_well };
        async move {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

async fn tcp_server(ill: &Ill) -> io::Result<String> {
    lines(ill, "+PONG\r\n", "-LOADING the dataset\r\n").await
}

async fn agent(ill: &Ill) -> io::Result<String> {
    lines(ill, "up 75%\n", "down # a backup is running\n").await
}

async fn tls_server(ill: &Ill, acceptor: TlsAcceptor) -> io::Result<String> {
    let ill = ill.clone();
    serve(move |stream| {
        let (ill, acceptor) = (ill.clone(), acceptor.clone());
        async move {
            if !ill.now() {
                let _ = acceptor.accept(stream).await;
            }
        }
    })
    .await
}

async fn http_server(ill: &Ill) -> io::Result<String> {
    let ill = ill.clone();
    serve(move |stream| {
        let ill = ill.clone();
        let respond = service_fn(move |_| {
            let mut response = Response::new(format!("{{\"ready\":{}}}\n", !ill.now()));
            if ill.now() {
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

async fn grpc_server(ill: &Ill) -> io::Result<String> {
    let ill = ill.clone();
    serve(move |stream| {
        let status = if ill.now() { ServingStatus::NotServing } else { ServingStatus::Serving };
        async move {
            let (reporter, service) = health_reporter();
            reporter.set_service_status("shop.v1.Basket", status).await;
            let service = TowerToHyperService::new(service);
            let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        }
    })
    .await
}

/// A server's side for `localhost`, and a probe that trusts it and nobody else.
fn self_signed() -> anyhow::Result<(TlsAcceptor, Tls)> {
    // Said here, because more than one may be compiled in.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key)?;
    Ok((TlsAcceptor::from(Arc::new(server)), Tls::with_config(client)))
}
