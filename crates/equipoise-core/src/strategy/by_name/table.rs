//! The table of all strategies by name. Parsing a strategy, writing it as text and listing the strategies all use this
//! table.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::settings::{FALLBACK, StrategyDefinition};
use crate::{
    spec::{Kind, Param, ParamBuilder},
    strategy::{
        AnyStrategy, Aperture, BoundedLoad, Edf, FirstFit, Jump, LeastConnections, LeastTime, LogEwma, Maglev, P2c,
        PeakEwma, Random, Rendezvous, Ring, RoundRobin, SlowStart, Subset, ZoneAware,
    },
};

const CHOICES: Param<usize> =
    Param::<usize>::number("choices", "the number of endpoints that a pick draws and compares")
        .range(2, 10)
        .default("2");
const EDF_SEED: Param<Option<u64>> = Param::<u64>::number("seed", "the seed of the random start").drawn("7");
const PERIOD: Param<Duration> =
    Param::time("period", "the time in which an average halves if no response arrives").default("10s");
const DECAY: Param<Duration> = Param::time("decay", "the time after which an old latency weighs 1/e").default("10s");
const FADE: Param<Duration> =
    Param::time("fade", "the time after which the estimate of an idle endpoint weighs 1/e").default("2.5s");
const PENALTY: Param<Duration> = Param::time("penalty", "the maximum latency that failures add").default("5s");

const LOG_EWMA_CHOICES: Param<usize> =
    Param::<usize>::number("choices", "the number of endpoints that a pick draws and compares")
        .range(2, 10)
        .default("10");
const LOG_EWMA_PENALTY: Param<Duration> =
    Param::time("penalty", "the maximum latency that failures add").default("500ms");
const MIN_TRIAL_INTERVAL: Param<Duration> =
    Param::time("min-trial-interval", "the minimum time between two trials of a slow endpoint").default("100ms");
const MAX_TRIAL_INTERVAL: Param<Duration> =
    Param::time("max-trial-interval", "the maximum time between two trials of a slow endpoint").default("10s");

const SEED: Param<u64> = Param::<u64>::number(
    "seed",
    "the seed of the hash; balancers that must choose the same endpoints need the same seed",
)
.default("0");
const TABLE: Param<u32> =
    Param::<u32>::number("table", "the number of entries: a prime number up to 5000011").at_least(1).default("65537");
const POINTS: Param<u32> = Param::<u32>::number("points", "the number of points of an endpoint with the mean weight")
    .at_least(1)
    .default("160");
const SIZES: Param<RangeInclusive<u32>> =
    ParamBuilder::new("sizes", Kind::Range, "the minimum and maximum number of points of all endpoints")
        .preset("1024..8388608", (1024, 8_388_608));

const FACTOR: Param<f64> =
    Param::real("factor", "the maximum load of an endpoint as a multiple of the mean load: at least 1").default("1.25");
const SIZE: Param<usize> =
    Param::<usize>::number("size", "the number of endpoints that a client uses").at_least(1).required("7");
const CLIENT_SEED: Param<u64> = Param::<u64>::number("seed", "a number that differs for each client").required("7");
const SUBSET_MIN_ELIGIBLE: Param<Option<usize>> = Param::<usize>::number(
    "min-eligible",
    "the minimum number of eligible endpoints; a client with fewer adds endpoints",
)
.at_least(1)
.otherwise("the value of size", "7");
const PEER: Param<u32> = Param::<u32>::number("peer", "the number of this client, counted from 0").required("7");
const PEERS: Param<u32> = Param::<u32>::number("peers", "the number of clients").at_least(1).required("7");
const MIN_ENDPOINTS: Param<u32> =
    Param::<u32>::number("min-endpoints", "the minimum number of endpoints that a client uses")
        .at_least(1)
        .default("12");
const APERTURE_MIN_ELIGIBLE: Param<Option<usize>> = Param::<usize>::number(
    "min-eligible",
    "the minimum number of eligible endpoints; a client with fewer adds endpoints",
)
.at_least(1)
.otherwise("the value of min-endpoints", "7");
const ZONE: Param<String> = Param::text("zone", "the zone of this client").required("eu-1a");
const ZONE_MIN_ELIGIBLE: Param<usize> = Param::<usize>::number(
    "min-eligible",
    "the minimum number of eligible endpoints in the client's zone; below it, zones are ignored",
)
.default("1");
const CALLERS: Param<Option<BTreeMap<String, u32>>> =
    ParamBuilder::<BTreeMap<String, u32>>::new("callers", Kind::NumbersByName, "the number of clients in each zone")
        .otherwise("clients are spread evenly over the zones", "{eu-1a=3, eu-1b=2}");
const WINDOW: Param<Duration> = Param::time("window", "the duration of the slow start; 0s turns it off").default("30s");
const AGGRESSION: Param<f64> = Param::real(
    "aggression",
    "the curve: with 1 the share rises linearly, above 1 faster at first, below 1 slower at first",
)
.default("1");
const FLOOR: Param<f64> = Param::real("floor", "the part of its share that an endpoint gets at first").default("0.1");
const INCLUDE_FIRST_MEMBERS: Param<bool> =
    Param::bool("include-first-members", "whether the first endpoints of a pool start slowly too");

/// The definitions of all strategies. A test checks that their defaults are those of the builders.
pub(super) const ALL: &[StrategyDefinition] = &[
    StrategyDefinition::new(
        "round-robin",
        "endpoints take turns by weight, spread as evenly as possible (the sequence of nginx)",
        &[],
        |_| Ok(AnyStrategy::new(RoundRobin::new())),
    ),
    StrategyDefinition::new(
        "edf",
        "endpoints take turns by weight with earliest deadline first scheduling, from a random start",
        &[EDF_SEED.parameter],
        |settings| Ok(AnyStrategy::new(settings.get(&EDF_SEED).map_or_else(Edf::new, Edf::seeded))),
    ),
    StrategyDefinition::new("random", "picks an endpoint at random, in proportion to the weights", &[], |_| {
        Ok(AnyStrategy::new(Random::new()))
    }),
    StrategyDefinition::new(
        "p2c",
        "draws a few endpoints at random and picks the one with the fewest requests in flight",
        &[CHOICES.parameter],
        |settings| Ok(AnyStrategy::new(P2c::with_choices(settings.get(&CHOICES))?)),
    ),
    StrategyDefinition::new(
        "least-connections",
        "picks the endpoint with the fewest requests in flight, relative to the weights",
        &[],
        |_| Ok(AnyStrategy::new(LeastConnections::new())),
    ),
    StrategyDefinition::new("first-fit", "fills one endpoint up to its limit before it uses the next", &[], |_| {
        Ok(AnyStrategy::new(FirstFit::new()))
    }),
    StrategyDefinition::new(
        "least-time",
        "draws a few endpoints and picks the lowest average time to the first byte × requests in flight (as nginx)",
        &[CHOICES.parameter, PERIOD.parameter],
        |settings| {
            let strategy = LeastTime::with_choices(settings.get(&CHOICES))?;
            Ok(AnyStrategy::new(strategy.period(settings.get(&PERIOD))?))
        },
    ),
    StrategyDefinition::new(
        "peak-ewma",
        "draws two endpoints at random and picks the one expected to answer sooner; failures add latency",
        &[DECAY.parameter, FADE.parameter, PENALTY.parameter],
        |settings| {
            let strategy = PeakEwma::new().decay(settings.get(&DECAY))?.fade(settings.get(&FADE))?;
            Ok(AnyStrategy::new(strategy.penalty(settings.get(&PENALTY))))
        },
    ),
    StrategyDefinition::new(
        "log-ewma",
        "draws a few endpoints and picks the lowest geometric mean of latencies × waiting requests; failures add latency",
        &[
            LOG_EWMA_CHOICES.parameter,
            DECAY.parameter,
            FADE.parameter,
            LOG_EWMA_PENALTY.parameter,
            MIN_TRIAL_INTERVAL.parameter,
            MAX_TRIAL_INTERVAL.parameter,
        ],
        |settings| {
            let strategy = LogEwma::new().choices(settings.get(&LOG_EWMA_CHOICES))?;
            let strategy = strategy.decay(settings.get(&DECAY))?.fade(settings.get(&FADE))?;
            let strategy = strategy.penalty(settings.get(&LOG_EWMA_PENALTY));
            let strategy = strategy.min_trial_interval(settings.get(&MIN_TRIAL_INTERVAL));
            Ok(AnyStrategy::new(strategy.max_trial_interval(settings.get(&MAX_TRIAL_INTERVAL))))
        },
    ),
    StrategyDefinition::new(
        "maglev",
        "places requests by key with one look-up in a table; the most even and fastest method",
        &[TABLE.parameter, SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Maglev::new().table_size(settings.get(&TABLE))?.seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::new(
        "ring",
        "places requests by key on a hash ring; an endpoint that joins or leaves moves only its own keys",
        &[POINTS.parameter, SIZES.parameter, SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Ring::new().points(settings.get(&POINTS))?;
            let strategy = strategy.sizes(settings.get(&SIZES))?.seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::new(
        "rendezvous",
        "places requests by key at the endpoint with the highest hash; exact shares, and O(n) time for each pick",
        &[SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Rendezvous::new().seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::new(
        "jump",
        "places requests by key with jump hashing; for pools that grow and shrink only at their end",
        &[SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Jump::new().seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::combinator(
        "bounded-load",
        "limits the requests in flight of each endpoint to a multiple of the mean",
        &[FACTOR.parameter],
        |settings| Ok(AnyStrategy::new(BoundedLoad::new(settings.inner()).factor(settings.get(&FACTOR))?)),
    ),
    StrategyDefinition::combinator(
        "subset",
        "restricts each client to a few endpoints, chosen by hashing with the client's seed",
        &[SIZE.parameter, CLIENT_SEED.parameter, SUBSET_MIN_ELIGIBLE.parameter],
        |settings| {
            let size = settings.get(&SIZE);
            let strategy = Subset::new(settings.inner(), size, settings.get(&CLIENT_SEED));
            Ok(AnyStrategy::new(strategy.min_eligible(settings.get(&SUBSET_MIN_ELIGIBLE).unwrap_or(size))))
        },
    ),
    StrategyDefinition::combinator(
        "aperture",
        "restricts each client to a few endpoints, so that all clients together load them evenly",
        &[PEER.parameter, PEERS.parameter, MIN_ENDPOINTS.parameter, APERTURE_MIN_ELIGIBLE.parameter],
        |settings| {
            let strategy = Aperture::new(settings.inner(), settings.get(&PEER), settings.get(&PEERS))?;
            let strategy = strategy.min_endpoints(settings.get(&MIN_ENDPOINTS));
            Ok(AnyStrategy::new(match settings.get(&APERTURE_MIN_ELIGIBLE) {
                Some(eligible) => strategy.min_eligible(eligible),
                None => strategy,
            }))
        },
    ),
    StrategyDefinition::combinator(
        "zone-aware",
        "prefers the endpoints in the client's own zone, as long as this does not overload them",
        &[ZONE.parameter, ZONE_MIN_ELIGIBLE.parameter, CALLERS.parameter],
        |settings| {
            let strategy = ZoneAware::new(settings.inner(), settings.get(&ZONE));
            let strategy = strategy.min_eligible(settings.get(&ZONE_MIN_ELIGIBLE));
            Ok(AnyStrategy::new(match settings.get(&CALLERS) {
                Some(callers) => strategy.callers(callers),
                None => strategy,
            }))
        },
    ),
    StrategyDefinition::combinator(
        "slow-start",
        "raises the share of new and recovered endpoints gradually",
        &[WINDOW.parameter, AGGRESSION.parameter, FLOOR.parameter, INCLUDE_FIRST_MEMBERS.parameter],
        |settings| {
            let strategy = SlowStart::new(settings.inner()).window(settings.get(&WINDOW));
            let strategy = strategy.aggression(settings.get(&AGGRESSION))?.floor(settings.get(&FLOOR))?;
            let include_first_members = settings.get(&INCLUDE_FIRST_MEMBERS);
            Ok(AnyStrategy::new(if include_first_members { strategy.include_first_members() } else { strategy }))
        },
    ),
];

#[cfg(all(test, not(loom)))]
mod tests {
    #[test]
    fn defaults_that_are_given_twice_are_equal() {
        assert!(super::SIZES.is_consistent());
    }
}
