//! The options of the lab. Invalid options end it with exit code 2.

use std::{collections::HashSet, net::SocketAddr};

use clap::{CommandFactory, Parser, error::ErrorKind};
use equipoise::{
    Pool, StrategySpec, Upstream,
    affinity::{
        Affinity, AffinitySpec,
        by_name::BuildContext,
        token::{KeyRing, TokenKey},
    },
};
use http::{
    Uri,
    uri::{PathAndQuery, Scheme},
};
use tokio::net::TcpListener;

/// A balancing reverse proxy in front of real servers, on real sockets.
///
/// Without options, the lab starts three servers and the proxy on loopback. Nine requests are distributed; then server
/// 2 is killed under load and started again, and every request must get a 200. With health checks, no request may fail
/// at the killed server first. The lab ends on its own after about 15 s.
///
/// With --backend, the proxy is in front of servers that you have started, for example
///
///     python3 -m http.server 8001 &
///     python3 -m http.server 8002 &
///     cargo run --example lab -- --backend http://127.0.0.1:8001 --backend http://127.0.0.1:8002
///
/// The lab stops none of them. Kill one yourself while the load runs, and start it again. All responses must have a
/// status below 500.
///
/// With --serve, the lab sends no load. The proxy stays up until Ctrl-C, so that you can use curl, and prints a line
/// for each request.
///
/// Exit code: 0 if all checks held, 1 if one did not (it is printed), 2 if the options are invalid or the port is in
/// use.
#[derive(Debug, Parser)]
#[command(name = "lab", verbatim_doc_comment)]
pub(crate) struct Args {
    /// A server that you have started, as http://HOST:PORT; repeat for each
    #[arg(long = "backend", value_name = "URL", value_parser = backend)]
    pub(crate) backends: Vec<String>,

    /// Address of the proxy; port 0 takes a free port
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = address)]
    pub(crate) listen: SocketAddr,

    /// Strategy of the proxy, such as p2c or "peak-ewma(decay=5s)"
    ///
    /// The example `placement` lists all strategies with --list. The requests of the lab have no key, so hashing
    /// strategies use their fallback.
    #[arg(long, value_name = "STRATEGY", default_value = "round-robin")]
    pub(crate) strategy: StrategySpec,

    /// Session affinity, with --backend and --serve: such as "cookie(name=SRV)", "source(by=hash)" with a hashing
    /// strategy, or "learn(cookie=JSESSIONID)"
    ///
    /// The keys of tokens are generated at each start.
    #[arg(long, value_name = "MODE", default_value = "none")]
    pub(crate) affinity: AffinitySpec,

    /// Number of requests of the load
    ///
    /// With --backend, exactly this number is sent, at 100 per second. Otherwise at least this number, at 300 per
    /// second: a third before server 2 is killed, a third while it is down, a third after, and more until it serves
    /// again. The act with health checks is not included.
    #[arg(long, value_name = "N", default_value_t = 900, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) requests: u32,

    /// Keep the proxy up until Ctrl-C instead of sending load; give --listen to choose its port
    ///
    /// In front of the servers given by --backend, or of three servers of the lab.
    #[arg(long, conflicts_with = "requests")]
    pub(crate) serve: bool,
}

impl Args {
    /// Refuses two backends with the same address, which would be one server counted twice.
    pub(crate) fn refuse_duplicates(&self) {
        let mut seen = HashSet::new();
        if let Some(twice) = self.backends.iter().find(|backend| !seen.insert(*backend)) {
            refuse(format!("backend http://{twice} is given twice"));
        }
    }

    /// Builds [`affinity`](Self::affinity) for this pool.
    pub(crate) fn affinity_over(&self, pool: &Pool<Upstream>) -> anyhow::Result<Affinity> {
        Ok(self.affinity.build(pool, &BuildContext::new().keys(KeyRing::new(TokenKey::generate(1))))?)
    }

    /// Binds the socket of the proxy.
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

/// Returns `host:port` of a URL, in the same form for all spellings, so that duplicates are found.
fn backend(url: &str) -> Result<String, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}; use http://HOST:PORT"))?;
    let authority = uri.authority().ok_or("the URL has no host; use http://HOST:PORT")?;
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
        return Err("the lab supports http only".to_owned());
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
