//! What can be asked of the lab. Whatever is wrong with it ends the lab with exit code 2.

use std::{collections::HashSet, net::SocketAddr};

use clap::{CommandFactory, Parser, error::ErrorKind};
use equipoise::{
    Pool, StrategySpec,
    affinity::{
        Affinity, AffinitySpec,
        by_name::Means,
        token::{Key, KeyRing},
    },
};
use http::{
    Uri,
    uri::{PathAndQuery, Scheme},
};
use tokio::net::TcpListener;

/// A balancing reverse proxy in front of real servers, on real sockets.
///
/// Without options: three servers and the proxy are started on loopback. Nine requests alternate; server 2 is killed
/// under load and started again; every request must get a 200. Then once more, with health checks: no request may have
/// to fail on it first. Ends by itself in a quarter of a minute.
///
/// With --backend: the proxy stands before servers that you have started, for example
///
///     python3 -m http.server 8001 &
///     python3 -m http.server 8002 &
///     cargo run --example lab -- --backend http://127.0.0.1:8001 --backend http://127.0.0.1:8002
///
/// and the lab stops none of them: kill one yourself while the load runs, and start it again. All answers must be below
/// 500.
///
/// With --serve: no load; the proxy stays up until Ctrl-C, so that you can use curl on it, and prints a line for each
/// request.
///
/// Exit code: 0 if everything held, 1 if something did not (it says what), 2 if the options make no sense or the port
/// is taken.
#[derive(Debug, Parser)]
#[command(name = "lab", verbatim_doc_comment)]
pub(crate) struct Args {
    /// A server that you have started, as http://HOST:PORT; repeat for each
    #[arg(long = "backend", value_name = "URL", value_parser = backend)]
    pub(crate) backends: Vec<String>,

    /// Where the proxy listens; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// How the proxy chooses a server: a strategy by name, such as p2c or "peak-ewma(decay=5s)"
    ///
    /// The example `placement` lists them all, with --list. The lab's requests have no key: of a strategy that places by
    /// key it shows the fallback.
    #[arg(long, value_name = "STRATEGY", default_value = "round-robin")]
    pub(crate) strategy: StrategySpec,

    /// Which server a client comes back to, in front of your servers and with --serve: such as "cookie(name=SRV)",
    /// "source(by=hash)" with a strategy that hashes, or "learn(cookie=JSESSIONID)"
    ///
    /// The keys of tokens are made anew at each start.
    #[arg(long, value_name = "MODE", default_value = "none")]
    pub(crate) affinity: AffinitySpec,

    /// How many requests the load consists of
    ///
    /// With --backend exactly as many, at 100 a second. Otherwise at least as many, at 300 a second: a third before
    /// server 2 is killed, a third while it is down, a third after; more if it takes longer to see it serve again. (The act
    /// with health checks sends what it needs.)
    #[arg(long, value_name = "N", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests: u32,

    /// Keep the proxy up until Ctrl-C instead of sending load; give --listen to choose its port
    ///
    /// In front of the servers given by --backend, or else of three of the lab's own.
    #[arg(long, conflicts_with = "requests")]
    pub(crate) serve: bool,
}

impl Args {
    /// Two backends at one address would be one server counted twice.
    pub(crate) fn refuse_duplicates(&self) {
        let mut seen = HashSet::new();
        if let Some(twice) = self.backends.iter().find(|backend| !seen.insert(*backend)) {
            refuse(format!("backend http://{twice} is given twice"));
        }
    }

    /// What [`affinity`](Self::affinity) says, over this pool.
    pub(crate) fn affinity_over(&self, pool: &Pool<()>) -> anyhow::Result<Affinity> {
        Ok(self.affinity.build(pool, &Means::new().keys(KeyRing::new(Key::generate(1))))?)
    }

    /// The proxy's socket.
    pub(crate) async fn bind(&self) -> TcpListener {
        match TcpListener::bind(self.listen).await {
            Ok(listener) => listener,
            Err(error) => refuse(format!("the proxy cannot listen on {}: {error}", self.listen)),
        }
    }
}

fn refuse(why: String) -> ! {
    Args::command().error(ErrorKind::ValueValidation, why).exit()
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "use IP:PORT, such as 127.0.0.1:8080 or [::1]:8080".to_owned())
}

/// `host:port` out of a URL; the same for all spellings of one URL, so that duplicates are found.
fn backend(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}; use http://HOST:PORT"))?;
    let authority = uri.authority().ok_or("it names no host; use http://HOST:PORT")?;
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
        return Err("the lab speaks plain http only".to_owned());
    }
    if !matches!(uri.path_and_query().map(PathAndQuery::as_str), None | Some("" | "/")) {
        return Err("a backend is a whole server, without a path; use http://HOST:PORT".to_owned());
    }
    let host = authority.host().to_ascii_lowercase();
    let port = authority.port_u16().unwrap_or(80);
    let normal = format!("{host}:{port}");
    let given = authority.as_str().to_ascii_lowercase();
    if host.is_empty() || port == 0 || (given != host && given != normal) {
        return Err("that is not HOST or HOST:PORT, with a port from 1 to 65535".to_owned());
    }
    Ok(normal)
}
