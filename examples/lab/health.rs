//! The act with health checks. Checks detect that a server was killed before a request fails there. When it is back,
//! its share rises slowly.

use std::time::{Duration, Instant};

use equipoise::{
    Availability, EndpointSpec, Pool, SlowStart, StrategySpec,
    health::{AvailabilityChanges, Health, Schedule, probe::HttpProbe},
};
use http::StatusCode;
use tokio::{net::TcpListener, time::timeout};

use crate::{
    backend::Backend,
    load::{Load, MAX_WAIT, RATE, Sample},
    proxy,
    report::Checks,
};

/// Duration of the slow start.
const WINDOW: Duration = Duration::from_secs(4);

/// Seconds that are shown after the recovery.
const WATCHED: usize = 6;

/// Number of requests before the server is killed.
const BEFORE: u64 = 150;

/// Number of requests while the server is down.
const WHILE_DOWN: usize = RATE as usize;

/// Counts of the act.
#[derive(Default)]
struct Seen {
    total: usize,
    ok: usize,
    /// Number of requests that failed at a server and were sent to another.
    failed_over: usize,
    by_server_2: usize,
}

impl Seen {
    /// Returns whether server 2 answered.
    fn add(&mut self, sample: &Sample) -> bool {
        self.total += 1;
        let Ok(answer) = &sample.outcome else { return false };
        self.ok += usize::from(answer.status == StatusCode::OK);
        self.failed_over += usize::from(answer.tries > 1);
        let by_server_2 = answer.served_by.as_deref() == Some("server 2");
        self.by_server_2 += usize::from(by_server_2);
        by_server_2
    }
}

pub(crate) async fn play(
    strategy: &StrategySpec,
    backends: &mut Vec<Backend>,
    specs: Vec<EndpointSpec>,
    checks: &mut Checks,
) -> anyhow::Result<()> {
    println!(
        "\nAct 4: a server dies again, with health checks (GET /healthz every 0.25 s) and a slow start of {WINDOW:?}"
    );
    let millis = Duration::from_millis;
    let schedule = Schedule::new().interval(millis(250)).fast_interval(millis(100));
    let health = Health::builder().check("http", schedule, HttpProbe::new("/healthz")?).build()?;
    let mut changes = health.changes();
    let pool = Pool::new(SlowStart::new(strategy.build()).window(WINDOW));
    let _checking = health.spawn(&pool);
    proxy::set_endpoints(&pool, specs)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = listener.local_addr()?;
    let serving = tokio::spawn(proxy::serve(listener, pool, None, None));
    let began = Instant::now();
    let tell = |what: &str| println!("  {:5.2} s  {what}", began.elapsed().as_secs_f64());

    // Long enough for a check of all three servers.
    let (mut load, mut before) = (Load::start(proxy, RATE, BEFORE), Seen::default());
    while let Some(sample) = load.next().await {
        before.add(&sample);
    }
    tell(&format!("{} requests have been answered, {} by server 2", before.total, before.by_server_2));

    let (killed, _) = backends.remove(1).kill().await?;
    tell("server 2 is killed while there are no requests");
    let down = timeout(MAX_WAIT, became(&mut changes, Availability::Unhealthy, &tell)).await.is_ok();
    checks.demand("the checks find out that server 2 is down, without any request", down);

    tell("the load begins");
    let (mut load, mut seen) = (Load::start(proxy, RATE, u64::MAX), Seen::default());
    let counted = async {
        while seen.total < WHILE_DOWN {
            let Some(sample) = load.next().await else { return };
            seen.add(&sample);
        }
    };
    let _ = timeout(MAX_WAIT, counted).await;
    let Seen { total, failed_over, by_server_2, .. } = seen;
    tell(&format!("{total} requests: server 2 answered {by_server_2}, {failed_over} failed over"));
    checks.demand(
        format!("while it is down, no request fails at server 2 first: {failed_over} of {total} failed over"),
        (total, failed_over, by_server_2) == (WHILE_DOWN, 0, 0),
    );

    backends.insert(1, killed.restart()?);
    tell("server 2 is started again");
    let mut seconds = [(0, 0); WATCHED];
    let watched = async {
        let mut back: Option<Instant> = None;
        loop {
            tokio::select! {
                () = became(&mut changes, Availability::Up, &tell), if back.is_none() => back = Some(Instant::now()),
                Some(sample) = load.next() => {
                    let by_server_2 = seen.add(&sample);
                    let Some(back) = back else { continue };
                    let Some((total, its)) = seconds.get_mut(back.elapsed().as_secs() as usize) else { break };
                    *total += 1;
                    *its += usize::from(by_server_2);
                }
                else => break,
            }
        }
    };
    let _ = timeout(MAX_WAIT, watched).await;
    load.stop();
    while let Some(sample) = load.next().await {
        seen.add(&sample);
    }
    serving.abort();
    tell("the load ends");

    let share = |(total, its): (usize, usize)| if total > 0 { 100.0 * its as f64 / total as f64 } else { 0.0 };
    println!("\n  second since the recovery, and the share of server 2 in the requests:");
    for (second, counted) in seconds.iter().enumerate() {
        let percent = share(*counted);
        println!("  {:>4}  {percent:>5.1} %  {}", second + 1, "#".repeat(percent.round() as usize));
    }
    let (first, last) = (share(seconds[0]), share(seconds[WATCHED - 1]));
    checks.demand(
        format!("server 2 starts slowly: {first:.1} % in the first second, {last:.1} % after the slow start"),
        last > 0.0 && first < last / 2.0,
    );
    let total = before.total + seen.total;
    let (ok, failed_over) = (before.ok + seen.ok, before.failed_over + seen.failed_over);
    checks.demand(
        format!(
            "with health checks every request got a 200 at the first attempt: {} of {total}",
            ok - failed_over.min(ok)
        ),
        ok == total && failed_over == 0,
    );
    Ok(())
}

/// Prints each change of availability until server 2 has this availability.
async fn became(changes: &mut AvailabilityChanges, wanted: Availability, tell: &impl Fn(&str)) {
    while let Some(change) = changes.next().await {
        tell(&change.to_string());
        if change.id.as_str() == "server 2" && change.to == wanted {
            return;
        }
    }
    // The receiver ends when no more changes can come.
    std::future::pending::<()>().await;
}
