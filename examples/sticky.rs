//! Sticky sessions: two clients and three servers, each of which counts the visits of its clients. Each client keeps
//! its server. When a server dies, its client moves once and stays there.
//!
//! Runs in three modes: a cookie that the balancer sets, a table by a header, and the session cookie of the servers.
//! The program fails if a session moves otherwise.
//!
//! ```text
//! cargo run --example sticky
//! cargo run --example sticky -- "header(name=x-user, idle-timeout=1h)"    any mode, as text
//! ```

use std::{collections::HashMap, convert::Infallible, io, net::SocketAddr, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    affinity::{
        Affinity, AffinityLayer, AffinityOutcome, AffinitySpec, EndpointNaming, Mode,
        by_name::BuildContext,
        cookie::PersistenceCookie,
        key::SessionKey,
        learn::Learn,
        table::SessionTable,
        token::{KeyRing, TokenKey},
    },
    tower::BalanceLayer,
};
use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use parking_lot::Mutex;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower::{Layer, ServiceExt};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Some(text) = std::env::args().nth(1) {
        let spec: AffinitySpec = text.parse()?;
        println!("{spec}");
        let context = BuildContext::new().keys(KeyRing::new(TokenKey::generate(1)));
        return story(|pool| Ok(spec.build(pool, &context)?)).await;
    }

    println!("A cookie of the balancer: an authenticated token that tells clients nothing.");
    let cookie = PersistenceCookie::insert("lb").indirect().httponly().build()?;
    // In production, use the same secret on every balancer: TokenKey::new(1, secret)?
    let naming = EndpointNaming::tokens(KeyRing::new(TokenKey::generate(1)), &cookie);
    story(|pool| Ok(Affinity::new(pool, Mode::cookie(cookie, naming))?)).await?;

    println!(
        "\nA table in memory, by a header with the user. The feature `affinity-redis` provides the same in Redis."
    );
    let table = Arc::new(SessionTable::builder().capacity(100_000).build()?);
    let user = SessionKey::header("x-user")?;
    story(|pool| Ok(Affinity::new(pool, Mode::table(user, table))?)).await?;

    println!("\nThe servers' own session cookie, learned from their responses.");
    let table = Arc::new(SessionTable::builder().capacity(100_000).build()?);
    let session = Learn::new().cookie("JSESSIONID")?;
    story(|pool| Ok(Affinity::new(pool, Mode::learn(session, table))?)).await
}

async fn story(affinity: impl FnOnce(&Pool<()>) -> anyhow::Result<Affinity>) -> anyhow::Result<()> {
    let mut servers = Vec::new();
    for n in 1..=3 {
        servers.push(Server::start(n).await?);
    }
    let pool = Pool::new(RoundRobin::new());
    let spec = |server: &Server| EndpointSpec::new(server.address.to_string()).with_id(&server.name);
    pool.update(servers.iter().map(spec), |_| ())?;

    // The application's client, the balancer above it, and affinity above the balancer.
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let affinity = affinity(&pool)?;
    let service = AffinityLayer::new(affinity.clone()).layer(BalanceLayer::new(pool).layer(client));

    let mut guests = ["ann", "bob"].map(|name| Guest { name, cookies: HashMap::new(), server: None });
    let mut died = None;
    for round in ["", "  (the server of ann's session has died)", ""] {
        println!("{round}");
        for guest in &mut guests {
            for _ in 0..3 {
                let response = service.clone().oneshot(guest.request()?).await?;
                guest.keep_cookies(&response);
                let outcome = response.extensions().get().map(AffinityOutcome::to_string).unwrap_or_default();
                let body = response.into_body().collect().await?.to_bytes();
                let body = String::from_utf8_lossy(&body);
                println!("  {}: {body:32} {outcome}", guest.name);
                guest.was_at(body.split(" has seen ").next().unwrap_or_default(), died.as_deref())?;
            }
        }
        if round.is_empty() {
            // The endpoint of the next request, without sending it.
            let next = affinity.explain(&guests[0].request()?).await.pick?.picked?;
            let at = servers.iter().position(|server| next.as_str() == server.name);
            let at = at.filter(|_| guests[0].server.as_deref() == Some(next.as_str()));
            let at = at.with_context(|| format!("ann is to go to {next} next, which is not where she has been"))?;
            died = Some(servers[at].name.clone());
            servers.remove(at).kill().await;
        }
    }
    Ok(())
}

/// A client that keeps cookies, as browsers do.
struct Guest {
    name: &'static str,
    cookies: HashMap<String, String>,
    /// The server that answered last.
    server: Option<String>,
}

impl Guest {
    fn request(&self) -> Result<Request<Full<Bytes>>, http::Error> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::get("http://shop/").header("x-user", self.name);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        request.body(Full::default())
    }

    /// Checks that the client moved only from a dead server. Only one server dies, so no client moves twice.
    fn was_at(&mut self, server: &str, died: Option<&str>) -> anyhow::Result<()> {
        if let Some(before) = self.server.replace(server.to_owned()) {
            let moved = before != server;
            anyhow::ensure!(!moved || died == Some(&before), "{} left {before} for {server}, and need not", self.name);
        }
        Ok(())
    }

    fn keep_cookies<B>(&mut self, response: &Response<B>) {
        for line in response.headers().get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok()) {
            if let Some((name, value)) = line.split(';').next().and_then(|pair| pair.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// A server that counts visits in its own memory. Other servers do not know its clients.
struct Server {
    name: String,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(n: usize) -> io::Result<Self> {
        let name = format!("server {n}");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let visits = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
        let task = tokio::spawn(serve(listener, name.clone(), visits));
        Ok(Self { name, address, task })
    }

    /// Ends the server. Returns once the listener and all connections are closed.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn serve(listener: TcpListener, name: String, visits: Arc<Mutex<HashMap<String, usize>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (name, visits) = (name.clone(), Arc::clone(&visits));
        let answer = service_fn(move |request: Request<Incoming>| {
            let response = welcome(&name, &visits, &request);
            async { Ok::<_, Infallible>(response) }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

fn welcome(name: &str, visits: &Mutex<HashMap<String, usize>>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let user = request.headers().get("x-user").map(|user| String::from_utf8_lossy(user.as_bytes()).into_owned());
    let user = user.unwrap_or_default();
    let visit = {
        let mut visits = visits.lock();
        let visit = visits.entry(user.clone()).or_default();
        *visit += 1;
        *visit
    };
    let mut response = Response::new(format!("{name} has seen {user} {visit} times").into());
    if visit == 1
        && let Ok(line) = format!("JSESSIONID={user}-{}; Path=/; HttpOnly", name.replace(' ', "")).parse()
    {
        response.headers_mut().append(SET_COOKIE, line);
    }
    response
}
