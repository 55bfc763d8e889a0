//! The five acts, with servers of the lab.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use equipoise::{EndpointSpec, Pool, StrategySpec};
use http::StatusCode;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    args::Args,
    backend::Backend,
    health,
    load::{CONNECTIONS, Load, MAX_WAIT, RATE, Sample, Visitor},
    proxy,
    report::{Checks, Report},
    sessions,
};

/// Number of requests that server 2 must answer after its restart.
const STEADILY: usize = 10;

const PHASES: [&str; 3] = ["before", "while down", "after"];
const BEFORE: usize = 0;
const DOWN: usize = 1;
const AFTER: usize = 2;

/// Three servers of the lab, and their endpoints.
pub(crate) fn start_three() -> io::Result<(Vec<Backend>, Vec<EndpointSpec>)> {
    let backends = (1..=3).map(Backend::start).collect::<io::Result<Vec<_>>>()?;
    let spec = |backend: &Backend| EndpointSpec::new(backend.address().to_string()).with_id(backend.name());
    let specs = backends.iter().map(spec).collect();
    Ok((backends, specs))
}

pub(crate) async fn play(args: &Args, listener: TcpListener) -> anyhow::Result<Checks> {
    let (mut backends, specs) = start_three()?;
    let pool = Pool::new(args.strategy.build());
    proxy::set_endpoints(&pool, specs.clone())?;
    let proxy = listener.local_addr()?;
    tokio::spawn(proxy::serve(listener, pool, None, None));
    for backend in &backends {
        println!("{} listens on {}", backend.name(), backend.address());
    }
    println!("proxy    listens on {proxy}, and balances by {}", args.strategy);

    let mut checks = Checks::default();
    nine_requests(proxy, &args.strategy, &mut checks).await?;
    let report = a_server_dies(proxy, &args.strategy, args.requests, &mut backends, &mut checks).await?;
    sessions::play(&args.strategy, &mut backends, specs.clone(), &mut checks).await?;
    health::play(&args.strategy, &mut backends, specs, &mut checks).await?;
    println!("\nAct 5: the report\n\n{report}\n{checks}");
    Ok(checks)
}

/// Act 1: requests one after the other.
async fn nine_requests(proxy: SocketAddr, strategy: &StrategySpec, checks: &mut Checks) -> anyhow::Result<()> {
    println!("\nAct 1: nine requests, one after the other");
    let mut visitor = Visitor::connect(proxy).await?;
    let mut answers = Vec::new();
    for n in 1..=9 {
        let answer = visitor.get("/", &[]).await?;
        println!("  {n}  {}  {}", answer.status.as_u16(), answer.body.trim_end());
        answers.push((answer.status, answer.body));
    }
    checks.demand("nine requests: nine times 200", answers.iter().all(|(status, _)| *status == StatusCode::OK));
    if strategy.name() == "round-robin" {
        let turn = (1..=3).cycle().map(|n| format!("Server {n} responding\n"));
        checks.demand(
            "nine requests: served by 1 2 3 1 2 3 1 2 3",
            answers.iter().map(|(_, body)| body).eq(&turn.take(9).collect::<Vec<_>>()),
        );
    }

    println!("  the headers that a server gets, of a request that another proxy has forwarded:");
    let headers = [("x-forwarded-for", "203.0.113.7"), ("connection", "keep-alive, x-hop"), ("x-hop", "drop me")];
    let seen = visitor.get("/headers", &headers).await?.body;
    for line in seen.lines() {
        println!("     {line}");
    }
    let expected = [
        format!("host: {proxy}"),
        format!("x-forwarded-for: 203.0.113.7, {}", visitor.address()),
        "x-real-ip: 203.0.113.7".to_owned(),
    ];
    checks.demand(
        "the server sees the client's Host and address, and no hop-by-hop header",
        expected.iter().all(|line| seen.lines().any(|seen| seen == line)) && !seen.contains("x-hop"),
    );
    Ok(())
}

/// Act 2: a server dies under load.
async fn a_server_dies(
    proxy: SocketAddr,
    strategy: &StrategySpec,
    requests: u32,
    backends: &mut Vec<Backend>,
    checks: &mut Checks,
) -> anyhow::Result<Report> {
    println!("\nAct 2: a server dies under load ({CONNECTIONS} keep-alive connections, {RATE} requests per second)");
    let third = requests.div_ceil(3) as usize;
    // The limit for the act is this time, plus the time that the requests take.
    let patience = MAX_WAIT + Duration::from_secs(1) * requests / RATE;
    let began = Instant::now();
    let tell = |what: String| println!("  {:5.2} s  {what}", began.elapsed().as_secs_f64());
    let mut report = Report::new(backends.iter().map(Backend::name).collect(), &PHASES);
    let mut load = Load::start(proxy, RATE, u64::MAX);

    tell("the load begins".to_owned());
    let came = until(&mut load, &mut report, patience, |report| {
        report.total(BEFORE) >= third && report.served(BEFORE, "server 2") > 0
    });
    checks.demand("before it is killed, server 2 serves", came.await);

    let (killed, cut) = backends.remove(1).kill().await?;
    load.enter(DOWN);
    tell(format!("server 2 is killed: its listener and {cut} open connections are closed"));
    let came = until(&mut load, &mut report, patience, |report| report.total(DOWN) >= third).await;
    checks.demand("while it is down, the load goes on", came);

    load.enter(AFTER);
    let restarted = Instant::now();
    backends.insert(1, killed.restart()?);
    tell(format!("server 2 is started again, on {}", backends[1].address()));
    if ["log-ewma", "peak-ewma"].contains(&strategy.name()) {
        tell("(the strategy avoids it for some more seconds because of its failures)".to_owned());
    }
    let back = until(&mut load, &mut report, patience, |report| report.served(AFTER, "server 2") > 0).await;
    if back {
        tell(format!("server 2 has served again, {:.2} s after its start", restarted.elapsed().as_secs_f64()));
    }
    let steadily = back
        && until(&mut load, &mut report, patience, |report| {
            report.total(AFTER) >= third && report.served(AFTER, "server 2") >= STEADILY
        })
        .await;
    load.stop();
    while let Some(sample) = load.next().await {
        report.add(phase(&sample), sample);
    }
    let (total, ok) = report.answered(|status| status == StatusCode::OK);
    tell(format!("the load ends, after {total} requests"));

    checks.demand(format!("every request got a 200: {ok} of {total}"), ok == total);
    checks.demand("while it is down, server 2 serves nothing", report.served(DOWN, "server 2") == 0);
    checks.demand(format!("after its restart, server 2 serves again (at least {STEADILY} requests)"), steadily);
    Ok(report)
}

/// Counts only requests that were both sent and answered while the server was down. A request in flight when the server
/// is killed or started may have reached it.
fn phase(sample: &Sample) -> usize {
    match sample.phases {
        (DOWN, AFTER) => AFTER,
        (sent, _) => sent,
    }
}

/// Counts responses until the condition holds. Returns `false` after a timeout.
async fn until(load: &mut Load, report: &mut Report, patience: Duration, so: impl Fn(&Report) -> bool) -> bool {
    let counted = async {
        while !so(report) {
            let Some(sample) = load.next().await else { return false };
            report.add(phase(&sample), sample);
        }
        true
    };
    timeout(patience, counted).await.unwrap_or(false)
}
