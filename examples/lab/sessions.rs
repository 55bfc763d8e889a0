//! The act with sessions. The proxy sets a cookie, with which two visitors keep their server until it dies.

use std::net::SocketAddr;

use equipoise::{
    EndpointSpec, Pool, StrategySpec,
    affinity::{
        Affinity, EndpointNaming, Mode,
        cookie::PersistenceCookie,
        token::{KeyRing, TokenKey},
    },
};
use http::StatusCode;
use tokio::net::TcpListener;

use crate::{backend::Backend, load::Visitor, proxy, report::Checks};

/// Number of requests of each visitor in each part.
const REQUESTS: usize = 10;

/// A client that keeps cookies.
struct Guest {
    name: &'static str,
    visitor: Visitor,
    /// The value of the `Cookie` header.
    cookie: Option<String>,
    /// The server of each response.
    servers: Vec<String>,
    errors: usize,
}

impl Guest {
    async fn arrive(name: &'static str, proxy: SocketAddr) -> anyhow::Result<Self> {
        let visitor = Visitor::connect(proxy).await?;
        Ok(Self { name, visitor, cookie: None, servers: Vec::new(), errors: 0 })
    }

    async fn ask(&mut self, times: usize) -> anyhow::Result<()> {
        for _ in 0..times {
            let headers: Vec<(&str, &str)> = self.cookie.iter().map(|cookie| ("cookie", cookie.as_str())).collect();
            let answer = self.visitor.get("/", &headers).await?;
            if let Some(set) = answer.set_cookie {
                println!("  {} gets: set-cookie: {set}", self.name);
                self.cookie = set.split(';').next().map(str::to_owned);
            }
            self.errors += usize::from(answer.status != StatusCode::OK);
            self.servers.push(answer.served_by.unwrap_or_default());
        }
        Ok(())
    }

    fn server(&self) -> &str {
        self.servers.last().map_or("none", String::as_str)
    }

    /// Returns how often the server changed between two requests.
    fn moves(&self) -> usize {
        self.servers.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }
}

pub(crate) async fn play(
    strategy: &StrategySpec,
    backends: &mut Vec<Backend>,
    specs: Vec<EndpointSpec>,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    println!("\nAct 3: two visitors with sessions (a cookie of the proxy with an authenticated token)");
    let pool = Pool::new(strategy.build());
    proxy::set_endpoints(&pool, specs)?;
    let cookie = PersistenceCookie::insert("lab").indirect().httponly().build()?;
    let naming = EndpointNaming::tokens(KeyRing::new(TokenKey::generate(1)), &cookie);
    let affinity = Affinity::new(&pool, Mode::cookie(cookie, naming))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = listener.local_addr()?;
    let serving = tokio::spawn(proxy::serve(listener, pool, Some(affinity.clone()), None));

    let mut guests = [Guest::arrive("Ann", proxy).await?, Guest::arrive("Bob", proxy).await?];
    // Both visitors send at the same time, so that a strategy that looks at load sends them to different servers.
    let [ann, bob] = &mut guests;
    tokio::try_join!(ann.ask(REQUESTS), bob.ask(REQUESTS))?;
    for guest in &guests {
        println!("  {}'s {REQUESTS} requests went to {}", guest.name, guest.server());
    }
    checks.demand("two visitors: each keeps its server", guests.iter().all(|guest| guest.moves() == 0));

    let dies = guests[0].server().to_owned();
    let at = backends.iter().position(|backend| backend.name() == dies).unwrap_or_default();
    let (killed, _) = backends.remove(at).kill().await?;
    println!("  {dies}, the server of Ann's session, is killed");
    let hit: Vec<bool> = guests.iter().map(|guest| guest.server() == dies).collect();
    for guest in &mut guests {
        guest.ask(REQUESTS).await?;
    }
    backends.insert(at, killed.restart()?);
    println!("  {dies} is started again");
    for guest in &mut guests {
        guest.ask(REQUESTS).await?;
        println!("  {} has {} and is at {}", guest.name, moved(guest.moves()), guest.server());
    }
    let once = guests.iter().zip(hit).all(|(guest, hit)| guest.moves() == usize::from(hit));
    checks.demand("two visitors: the one whose server dies moves once and stays, the other does not move", once);
    let errors: usize = guests.iter().map(|guest| guest.errors).sum();
    checks.demand(format!("two visitors: no errors in {} requests", REQUESTS * 6), errors == 0);
    for line in affinity.stats().to_string().lines() {
        println!("     {line}");
    }
    serving.abort();
    Ok(())
}

fn moved(times: usize) -> String {
    match times {
        0 => "not moved".to_owned(),
        1 => "moved once".to_owned(),
        n => format!("moved {n} times"),
    }
}
