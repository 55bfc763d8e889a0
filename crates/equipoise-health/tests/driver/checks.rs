//! Probes that pass, fail, panic and hang.

use std::time::Duration;

use equipoise_core::{Availability, EndpointSpec, P2c, PickRequest, Pool};
use equipoise_health::{
    Health, Schedule,
    probe::{Probe, ProbeError, ProbeOutcome, Target, TcpProbe, probe_fn},
};
use futures::future::BoxFuture;
use tokio::net::{TcpListener, TcpSocket};

use crate::world::{Say, Script, every_second, of, pool, seconds, until};

#[tokio::test]
async fn one_line_attaches_it_to_a_pool() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    // Bound but not listening: the port refuses connections, and no other test gets it.
    let refusing = TcpSocket::new_v4().expect("a socket");
    refusing.bind(([127, 0, 0, 1], 0).into()).expect("loopback");
    let addresses =
        [&listener.local_addr(), &refusing.local_addr()].map(|address| address.as_ref().expect("bound").to_string());
    let pool = Pool::new(P2c::new());
    pool.update(addresses.clone().map(EndpointSpec::new), |_| ()).expect("good endpoints");

    let health = Health::builder().check("tcp", Schedule::new(), TcpProbe::new()).build().expect("good settings");
    let _checking = health.spawn(&pool);
    until(&pool, &addresses[1], Availability::Unhealthy).await;
    assert_eq!(of(&pool, &addresses[0]), Availability::Up);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_has_failed_and_the_checks_go_on() {
    let script = Script::default();
    script.say("a:1", Say::Panic);
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
    let status = health.status("a:1").expect("it is known");
    assert_eq!(status.checks[0].last_error.as_deref(), Some("the probe panicked"));
    script.say("a:1", Say::Pass);
    until(&pool, "a:1", Availability::Up).await;
    assert_eq!(of(&pool, "b:1"), Availability::Up);
}

/// Panics before it returns a future.
struct Clumsy;

impl Probe for Clumsy {
    fn probe<'a>(&'a self, _: &'a Target) -> BoxFuture<'a, Result<ProbeOutcome, ProbeError>> {
        panic!("as the test wants")
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_before_its_future_has_failed_as_well() {
    let health = Health::builder().check("clumsy", every_second(), Clumsy).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_has_failed_at_its_deadline_and_the_others_go_on() {
    let script = Script::default();
    script.say("a:1", Say::Hang);
    // Few places, so that hanging probes could occupy all of them.
    let health = script.health(every_second()).max_concurrent_probes(2).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
    let status = health.status("a:1").expect("it is known");
    assert_eq!(status.checks[0].last_error.as_deref(), Some("no answer in time"));
    let before = script.probes("b:1");
    tokio::time::sleep(seconds(10)).await;
    assert!(script.probes("b:1") >= before + 9);
    assert_eq!(of(&pool, "b:1"), Availability::Up);
}

/// The probe blocks a blocking thread, as a name lookup does if the resolver hangs. Dropping the probe does not end it.
#[tokio::test]
async fn a_resolver_that_hangs_fails_only_its_own_probes() {
    let (_release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(parking_lot::Mutex::new(held));
    let probe = probe_fn(move |target: Target| {
        let held = std::sync::Arc::clone(&held);
        async move {
            if target.address == "slow:1" {
                let lookup = tokio::task::spawn_blocking(move || held.lock().recv().is_err());
                lookup.await.map_err(|error| error.to_string())?;
            }
            Ok::<_, ProbeError>(())
        }
    });
    let millis = Duration::from_millis;
    // A long timeout for the probe that must pass, because the test machine may be busy.
    let schedule = Schedule::new().interval(millis(20)).timeout(millis(500));
    let health = Health::builder().check("name", schedule, probe).build().expect("good settings");
    let pool = pool(&health, &["slow:1", "b:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "slow:1", Availability::Unhealthy).await;
    assert_eq!(of(&pool, "b:1"), Availability::Up);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_ended_in_time_is_not_late_because_the_driver_is() {
    // Several times, because a late driver handles its events in a random order.
    for _ in 0..20 {
        let (answer, awaited) = tokio::sync::oneshot::channel::<()>();
        let awaited = parking_lot::Mutex::new(Some(awaited));
        let began = std::sync::Arc::new(tokio::sync::Notify::new());
        let begins = std::sync::Arc::clone(&began);
        let probe = probe_fn(move |_| {
            let awaited = awaited.lock().take();
            begins.notify_one();
            async move {
                if let Some(awaited) = awaited {
                    let _ = awaited.await;
                }
                Ok::<_, ProbeError>(())
            }
        });
        let health = Health::builder().check("check", every_second(), probe).build().expect("good settings");
        let pool = pool(&health, &["a:1"]);
        let mut changes = health.changes();
        let _checking = health.spawn(&pool);
        began.notified().await;
        // The probe ends in time, but the driver runs only after the deadline.
        drop(answer);
        health.set_admin_state("b:1", equipoise_health::AdminState::Ready);
        tokio::time::advance(seconds(3)).await;
        tokio::time::sleep(seconds(3)).await;
        assert!(changes.try_next().is_none(), "nothing has changed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_one_is_never_emptied() {
    let script = Script::default();
    script.say("a:1", Say::Fail);
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
    assert!(pool.pick(&PickRequest::new()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_agent_s_weight_and_limit_reach_the_pool() {
    let script = Script::default();
    script.say("a:1", Say::Agent("50% maxconn:3\n"));
    let health = script.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &[]);
    pool.add(EndpointSpec::new("a:1").weight(100), ()).expect("a good endpoint");
    let _checking = health.spawn(&pool);
    let is = |weight, limit| {
        move |status: &equipoise_core::EndpointStatus| (status.weight, status.max_in_flight) == (weight, limit)
    };
    crate::world::until_it_is(&pool, "a:1", "half as heavy", is(50, Some(3))).await;
    script.say("a:1", Say::Agent("100% maxconn:0\n"));
    crate::world::until_it_is(&pool, "a:1", "whole", is(100, None)).await;
    // It drains, and is checked further.
    script.say("a:1", Say::Agent("drain\n"));
    until(&pool, "a:1", Availability::Draining).await;
    script.say("a:1", Say::Agent("ready\n"));
    until(&pool, "a:1", Availability::Up).await;
}

#[tokio::test(start_paused = true)]
async fn two_pools_have_their_own_health() {
    let (one, other) = (Script::default(), Script::default());
    one.say("a:1", Say::Fail);
    let healths = [&one, &other].map(|script| script.health(every_second()).build().expect("good settings"));
    let pools = [pool(&healths[0], &["a:1", "b:1"]), pool(&healths[1], &["a:1", "b:1"])];
    let _checking = [healths[0].spawn(&pools[0]), healths[1].spawn(&pools[1])];
    until(&pools[0], "a:1", Availability::Unhealthy).await;
    tokio::time::sleep(seconds(10)).await;
    assert_eq!(of(&pools[1], "a:1"), Availability::Up);
    assert!(other.probes("a:1") >= 9);
}

#[tokio::test(start_paused = true)]
async fn replaced_checks_keep_the_state_of_endpoints_under_the_same_name() {
    let (old, new) = (Script::default(), Script::default());
    for script in [&old, &new] {
        script.say("a:1", Say::Fail);
    }
    let health = old.health(every_second()).build().expect("good settings");
    let pool = pool(&health, &["a:1", "b:1"]);
    let _checking = health.spawn(&pool);
    until(&pool, "a:1", Availability::Unhealthy).await;
    let revision = pool.revision();

    health.replace_checks(&new.health(every_second()).build().expect("good settings"));
    let before = old.probes("a:1");
    tokio::time::sleep(seconds(10)).await;
    assert_eq!((pool.revision(), old.probes("a:1")), (revision, before), "it was not up in between");
    assert!(new.probes("a:1") >= 9 && new.probes("b:1") >= 9);

    // The only check of the new settings has another name.
    let other = Health::builder().check("other", every_second(), new.probe()).build().expect("good settings");
    new.say("b:1", Say::Fail);
    health.replace_checks(&other);
    until(&pool, "a:1", Availability::Up).await;
    until(&pool, "b:1", Availability::Unhealthy).await;
    health.replace_checks(&Health::builder().build().expect("good settings"));
    until(&pool, "b:1", Availability::Up).await;
    assert!(health.statuses().iter().all(|status| status.checks.is_empty()));
}
