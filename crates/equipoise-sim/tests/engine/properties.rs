use equipoise_sim::{Arrivals, Fault, Keys, Network, Scenario, Server, Work};
use proptest::prelude::*;

use crate::common::{counted, ms, secs};

fn servers() -> impl Strategy<Value = Vec<Server>> {
    let kind = prop_oneof![(1usize..4).prop_map(Server::fifo), (0.5..4.0).prop_map(Server::sharing)];
    let server = (kind, 0.25..2.0, 1u32..5, prop::option::of(1u32..8));
    let server = server.prop_map(|(kind, speed, weight, limit)| {
        let server = kind.speed(speed).weight(weight);
        limit.map_or(server.clone(), |limit| server.max_in_flight(limit))
    });
    prop::collection::vec(server, 1..6)
}

fn work() -> impl Strategy<Value = Work> {
    let mean = ms(10);
    prop_oneof![
        Just(Work::constant(mean)),
        Just(Work::exponential(mean)),
        Just(Work::normal(mean, 1.0)),
        Just(Work::pareto(mean, 1.5, 1_000.0)),
    ]
}

fn arrivals() -> impl Strategy<Value = Arrivals> {
    let bursts = Just(Arrivals::Bursts { factor: 5.0, burst: ms(200) });
    prop_oneof![Just(Arrivals::Poisson), Just(Arrivals::Regular), bursts]
}

/// A fault of the first server.
fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        Just(Fault::sinkhole(0)),
        (0.1..20.0).prop_map(|factor| Fault::slow(0, factor)),
        Just(Fault::stall(0)),
        Just(Fault::refuses(0)),
        Just(Fault::blackhole(0)),
        Just(Fault::cold_start(0)),
        Just(Fault::removed(0)),
    ];
    let fault = (kind, 0u64..2_000, 1u64..500, prop::option::of(500u64..1_500));
    fault.prop_map(|(fault, from, lasting, every)| {
        let fault = fault.from(ms(from)).lasting(ms(lasting));
        every.map_or(fault, |every| fault.every(ms(every)))
    })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let network = prop_oneof![Just(Network::none()), Just(Network::local()), Just(Network::new(ms(5), ms(5)))];
    let ways = (network, prop::option::of(1u64..100), prop::bool::ANY, 0u32..3, prop::option::of(1u64..50));
    let demand = (1usize..4, 0.1..1.5, work(), arrivals());
    (servers(), demand, ways, prop::collection::vec(fault(), 0..4), 0u64..1_000).prop_map(
        |(servers, (clients, load, work, arrivals), (network, timeout, cancels, retries, hedge), faults, seed)| {
            let scenario = Scenario::with(servers).clients(clients).load(load).work(work).arrivals(arrivals);
            let scenario = scenario.network(network).max_retries(retries).keys(Keys::zipf(50, 1.0)).seed(seed);
            let scenario = scenario.timeout(timeout.map_or(secs(5), ms)).lasting(secs(2));
            let scenario = hedge.map_or(scenario.clone(), |hedge| scenario.hedge(ms(hedge)));
            let scenario = if cancels { scenario } else { scenario.without_cancelling() };
            faults.into_iter().fold(scenario, Scenario::fault)
        },
    )
}

fn strategy() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["round-robin", "random", "p2c", "least-connections", "peak-ewma", "least-time", "maglev"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_comes_from_nowhere(scenario in scenario(), name in strategy()) {
        let (report, came) = counted(&scenario, name, ms(500), secs(2));
        prop_assert_eq!(report.ends.total(), came, "every request ends once");
        prop_assert_eq!(report.latency.count(), report.ends.answered + report.ends.timed_out);
        prop_assert_eq!(report.measured, ms(1_500));

        let shares: f64 = report.shares.iter().sum();
        prop_assert!((shares - 1.0).abs() < 1e-9 || report.attempts == 0, "shares add up to {shares}");
        prop_assert!(report.utilisation.iter().all(|used| (0.0..1.0 + 1e-9).contains(used)), "{:?}", report.utilisation);

        let time: f64 = report.in_flight.time.iter().sum();
        prop_assert!((time - 1.0).abs() < 1e-9, "the shares of time add up to {time}");
        prop_assert!(report.in_flight.mean_of_max >= report.in_flight.mean() - 1e-9);
        prop_assert!(report.in_flight.mean_of_max <= report.in_flight.max() as f64 + 1e-9);
    }

    #[test]
    fn a_run_repeats(scenario in scenario(), name in strategy()) {
        let run = || counted(&scenario, name, ms(500), secs(2));
        prop_assert!(run() == run());
    }
}
