use std::time::Duration;

use equipoise_core::MAX_WEIGHT;
use equipoise_sim::{
    Antagonists, Arrivals, Bodies, Control, Fault, Feed, Impatience, InvalidScenario, Keys, Network, RunError,
    Scenario, Server, Trace, Work,
};

use crate::common::{ms, secs, strategy};

fn fine() -> Scenario {
    Scenario::of(3, Server::fifo(1)).lasting(secs(1))
}

/// Impossible scenarios, each with what its error must name.
fn bad() -> Vec<(Scenario, &'static str)> {
    let kind = |server| Scenario::of(1, server);
    let bursts = |factor, burst| fine().arrivals(Arrivals::Bursts { factor, burst });
    let pareto = |alpha, spread| fine().work(Work::pareto(ms(1), alpha, spread));
    let far = Duration::MAX;
    let (nano, us) = (Duration::from_nanos(1), Duration::from_micros(1));
    vec![
        (Scenario::with([]), "no servers"),
        (Scenario::of(usize::MAX, Server::fifo(1)), "more than 1000000 servers"),
        (Scenario::of(1 << 36, Server::fifo(1).zone("a")), "more than 1000000 servers"),
        (Scenario::with(std::iter::repeat(Server::fifo(1))), "more than 1000000 servers"),
        (fine().clients(0), "no clients"),
        (fine().clients(usize::MAX), "clients are too many"),
        (fine().clients(1_000_001), "clients are too many"),
        (Scenario::of(1_000, Server::fifo(1)).clients(10_001), "10001 clients times 1000 servers are too many"),
        (kind(Server::fifo(0)), "server 0: workers cannot be 0"),
        (kind(Server::sharing(0.0)), "server 0: cores cannot be 0"),
        (kind(Server::sharing(f64::NAN)), "server 0: cores cannot be NaN"),
        (kind(Server::fifo(1).speed(0.0)), "server 0: speed cannot be 0"),
        (kind(Server::fifo(1).speed(f64::INFINITY)), "server 0: speed cannot be inf"),
        (fine().load(0.0), "load cannot be 0"),
        (fine().load(-1.0), "load cannot be -1"),
        (fine().load(f64::NAN), "load cannot be NaN"),
        (fine().load(f64::INFINITY), "load cannot be inf"),
        (kind(Server::delay()).load(0.5), "set a rate"),
        (fine().rate(0.0), "rate cannot be 0"),
        (fine().rate(1e12), "rate cannot be 1000000000000"),
        (fine().rate(f64::NAN), "rate cannot be NaN"),
        (fine().work(Work::constant(Duration::ZERO)), "work: the mean"),
        (fine().work(Work::exponential(far)), "rate cannot be 0"),
        (fine().work(Work::normal(ms(1), -1.0)), "work: the deviation"),
        (fine().work(Work::normal(ms(1), f64::NAN)), "work: the deviation"),
        (pareto(0.0, 10.0), "work: a Pareto"),
        (pareto(1.0, 1.0), "work: a Pareto"),
        (pareto(f64::NAN, 10.0), "work: a Pareto"),
        (fine().work(Work::bimodal(ms(1), ms(2), 1.5)), "work: the share"),
        (fine().work(Work::bimodal(ms(1), ms(2), f64::NAN)), "work: the share"),
        (fine().work(Work::bimodal(Duration::ZERO, Duration::ZERO, 0.5)), "work: the mean"),
        (fine().bodies(Bodies::some(1.5, Work::constant(ms(1)))), "the share of bodies cannot be 1.5"),
        (fine().bodies(Bodies::all(Work::constant(Duration::ZERO))), "work: the mean"),
        (fine().impatience(Impatience::new(-1.0, ms(1))), "the share of impatience cannot be -1"),
        (fine().impatience(Impatience::new(0.5, Duration::ZERO)), "the time of impatience cannot be"),
        (fine().impatience(Impatience::new(0.5, far)), "the time of impatience cannot be"),
        (fine().trace(Trace::new([])), "trace: it has no requests"),
        (fine().trace(Trace::new([(ms(2), ms(1)), (ms(1), ms(1))])), "trace: its requests are not in the order"),
        (bursts(1.0, ms(1)), "bursts cannot have factor 1"),
        (bursts(f64::NAN, ms(1)), "bursts cannot have factor NaN"),
        (bursts(2.0, Duration::ZERO), "length 0ns"),
        (bursts(1e7, ms(1)), "bursts cannot have factor 10000000"),
        (bursts(2.0, Duration::from_nanos(1)).rate(1e-3), "bursts of 1ns are too short"),
        (fine().keys(Keys::zipf(0, 1.0)), "0 keys"),
        (fine().keys(Keys::zipf(u32::MAX, 1.0)), "4294967295 keys"),
        (fine().keys(Keys::zipf(10, f64::NAN)), "exponent NaN"),
        (fine().antagonists(Antagonists::new(1.5)), "antagonists cannot have probability 1.5"),
        (fine().antagonists(Antagonists::new(f64::NAN)), "antagonists cannot have probability NaN"),
        (fine().antagonists(Antagonists::new(0.5).hold(Duration::ZERO)), "hold time 0ns"),
        (fine().fault(Fault::removed(3)), "server 3: there is no such server"),
        (fine().fault(Fault::slow(0, 0.0)), "server 0: the factor"),
        (fine().fault(Fault::slow(0, f64::NAN)), "server 0: the factor"),
        (fine().fault(Fault::flaky(0, 1.5)), "server 0: the share"),
        (fine().fault(Fault::flaky(0, f64::NAN)), "server 0: the share"),
        (fine().fault(Fault::flaky_after(0, 0.5, far)), "server 0: the time of a response"),
        (fine().fault(Fault::blackhole(1)), "server 1: requests to an unreachable server"),
        (fine().fault(Fault::stall(1)), "server 1: requests to a stalled server"),
        (fine().fault(Fault::stall(1).lasting(Duration::ZERO)), "the duration cannot be 0"),
        (fine().fault(Fault::removed(1).every(secs(1))), "a repeated fault needs a duration"),
        (
            fine().fault(Fault::removed(1).lasting(secs(1)).every(secs(1))),
            "the duration of a repeated fault cannot be 1s",
        ),
        (
            fine().fault(Fault::slow(1, 2.0).lasting(nano).every(2 * nano).from(secs(1))).lasting(secs(40)),
            "server 1: it is repeated",
        ),
        (
            fine().clients(1_000).fault(Fault::removed(2).lasting(nano).every(us)).lasting(secs(40)),
            "server 2: it is repeated",
        ),
        (
            fine().fault(Fault::blackhole(0).lasting(nano).every(ms(1))).timeout(secs(1_000_000_000)),
            "server 0: it is repeated",
        ),
        (fine().antagonists(Antagonists::new(0.5).hold(nano)).lasting(secs(40)), "antagonists"),
        (fine().rate(1e9).lasting(secs(1_000_000_000)).sample_interval(far), "lasting"),
        (fine().rate(1e6).max_retries(1_000).lasting(secs(40)), "lasting"),
        (fine().lasting(Duration::ZERO), "lasting"),
        (fine().lasting(far), "lasting"),
        (fine().warm_up(1.0), "warm_up"),
        (fine().warm_up(f64::NAN), "warm_up"),
        (fine().timeout(Duration::ZERO), "timeout"),
        (fine().timeout(far), "timeout"),
        (fine().hedge(far), "hedge"),
        (fine().network(Network::new(far, far)), "network"),
        (fine().each(|_, server| server.distance(far)), "network"),
        (fine().queue_timeout(Duration::ZERO), "queue_timeout"),
        (fine().queue_timeout(far), "queue_timeout"),
        (fine().sample_interval(Duration::ZERO), "sample_interval"),
        (fine().sample_interval(Duration::from_nanos(1)), "sample_interval"),
        (Scenario::of(1_000, Server::fifo(1)).lasting(secs(20_001)), "samples times servers"),
        (fine().max_retries(u32::MAX), "max_retries"),
        (fine().retry_budget(-0.1), "retry_budget"),
        (fine().retry_budget(f64::NAN), "retry_budget"),
    ]
}

#[test]
fn impossible_settings_are_refused_by_name_before_the_run() {
    for (scenario, names) in bad() {
        let error = scenario.check().expect_err(names);
        assert!(error.to_string().contains(names), "{names}: {error}");
        // Compared as text, because NaN does not equal itself.
        let run = scenario.run(&strategy("p2c")).expect_err(names);
        assert!(matches!(run, RunError::Scenario(_)) && run.to_string() == error.to_string(), "{names}: {run}");
    }
}

/// A feed with this snapshot interval.
struct Snapshots(Duration);

impl Feed for Snapshots {
    fn snapshot_interval(&self) -> Option<Duration> {
        Some(self.0)
    }
}

#[test]
fn feeds_with_too_short_intervals_are_refused() {
    let run = |period| fine().run_fed(&strategy("p2c"), &mut Snapshots(period), &Control::new());
    for period in [Duration::ZERO, Duration::from_nanos(1)] {
        let error = run(period).expect_err("a run that would not end").to_string();
        assert!(error.contains("snapshot_interval"), "{error}");
    }
    assert!(run(ms(1)).is_ok() && run(Duration::MAX).is_ok());
}

#[test]
fn tables_larger_than_memory_are_refused_before_they_are_built() {
    let crowd = |clients| Scenario::of(10, Server::fifo(1)).clients(clients).lasting(ms(1)).sample_interval(secs(1));
    for name in ["maglev", "bounded-load(ring)"] {
        let error = crowd(400_000).run(&strategy(name)).expect_err("120 GiB");
        let expected = InvalidScenario::TooManyTables { clients: 400_000, max: 13_315 };
        assert_eq!(error, RunError::Scenario(expected), "{name}");
    }
    assert_eq!(crowd(400_000).check(), Ok(()), "other strategies have no tables");
}

#[test]
fn errors_carry_the_given_values() {
    assert_eq!(fine().load(-1.0).check(), Err(InvalidScenario::Load { load: -1.0 }));
    assert_eq!(kindless().check(), Err(InvalidScenario::NoCapacity));
    let antagonists = fine().antagonists(Antagonists::new(2.0)).check();
    assert_eq!(antagonists, Err(InvalidScenario::Antagonists { probability: 2.0, hold: secs(10) }));
}

#[test]
fn bursts_are_long_enough_if_one_in_a_hundred_contains_a_request() {
    // Each of 20 clients sends every 10 s, within a burst every second.
    let bursts = |burst| fine().rate(2.0).clients(20).arrivals(Arrivals::Bursts { factor: 10.0, burst });
    assert_eq!(bursts(ms(11)).check(), Ok(()));
    assert_eq!(bursts(ms(9)).check(), Err(InvalidScenario::ShortBursts { burst: ms(9), min: ms(10) }));
}

fn kindless() -> Scenario {
    Scenario::of(1, Server::delay()).load(1.0)
}

#[test]
fn possible_extremes_run() {
    let month = Duration::from_secs(1_000_000_000);
    let extremes = [
        fine().sample_interval(Duration::MAX),
        fine().bodies(Bodies::all(Work::constant(month))),
        fine().impatience(Impatience::new(1.0, Duration::from_nanos(1))),
        fine().each(|_, server| server.sheds_beyond(0, Some(Duration::MAX))).max_retries(10),
        fine().each(|_, server| server.max_in_flight(1)).queue_timeout(Duration::from_nanos(1)),
        fine().trace(Trace::new([(Duration::ZERO, Duration::ZERO)])),
        fine().trace(Trace::new([(Duration::ZERO, ms(1)), (Duration::from_nanos(1), ms(1))])).lasting(secs(1_000)),
        fine().hedge(Duration::ZERO),
        fine().timeout(Duration::from_nanos(1)),
        fine().timeout(month).network(Network::new(month, Duration::ZERO)),
        fine().keys(Keys::zipf(1, 0.0)),
        fine().keys(Keys::zipf(1_000, 100.0)),
        fine().antagonists(Antagonists::new(0.5).hold(Duration::MAX)),
        fine().fault(Fault::slow(0, 1e300)).timeout(secs(1)),
        fine().fault(Fault::stall(0).from(Duration::MAX).lasting(Duration::MAX)),
        fine().work(Work::pareto(ms(1), 0.1, 1e12)).timeout(secs(1)),
        fine().work(Work::normal(ms(1), 0.0)),
        fine().max_retries(1_000).retry_budget(1_000.0),
        fine().max_retries(1_000).fault(Fault::refuses(0)).fault(Fault::refuses(1)).fault(Fault::refuses(2)),
        fine().fault(Fault::slow(0, 1e300)).fault(Fault::slow(0, 1e300)),
        fine().each(|_, server| server.speed(f64::MIN_POSITIVE)).fault(Fault::slow(0, 1e300)).rate(10.0),
        fine().each(|_, server| server.weight(MAX_WEIGHT).max_in_flight(1).zone("a")),
        Scenario::of(1, Server::fifo(usize::MAX)).rate(10.0).lasting(secs(1)),
        Scenario::of(1, Server::fifo(1)).rate(1e-6).lasting(secs(1)),
        fine().fault(Fault::removed(0)).fault(Fault::removed(1)).fault(Fault::removed(2)),
    ];
    for (at, scenario) in extremes.into_iter().enumerate() {
        let report = scenario.run(&strategy("p2c")).unwrap_or_else(|error| panic!("{at}: {error}"));
        assert!(!report.interrupted, "{at}");
    }
}
