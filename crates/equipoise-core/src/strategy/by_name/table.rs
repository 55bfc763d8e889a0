//! The table of all strategies by name. Parsing a strategy, writing it as text and listing the strategies all use this
//! table.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::settings::{FALLBACK, StrategyDefinition};
use crate::{
    spec::{Kind, Param, ParamBuilder},
    strategy::{
        AnyStrategy, Aperture, BoundedLoad, Edf, FirstFit, Jump, LeastConnections, LeastTime, Maglev, P2c, PeakEwma,
        Random, Rendezvous, Ring, RoundRobin, SlowStart, Subset, ZoneAware,
    },
};

const CHOICES: Param<usize> =
    Param::<usize>::number("choices", "how many endpoints are drawn and compared").range(2, 10).default("2");
const EDF_SEED: Param<Option<u64>> = Param::<u64>::number("seed", "the random start").drawn("7");
const PERIOD: Param<Duration> =
    Param::time("period", "an average halves in each period without a response").default("10s");
const DECAY: Param<Duration> = Param::time("decay", "after it, an old latency counts for 1/e").default("10s");
const FADE: Param<Duration> =
    Param::time("fade", "after it, what was measured at an idle endpoint counts for 1/e").default("2.5s");
const PENALTY: Param<Duration> = Param::time("penalty", "what a failure adds to the latency").default("5s");

const SEED: Param<u64> =
    Param::<u64>::number("seed", "another seed is another placement; balancers that shall agree share it").default("0");
const TABLE: Param<u32> =
    Param::<u32>::number("table", "how many entries: a prime number up to 5000011").at_least(1).default("65537");
const POINTS: Param<u32> =
    Param::<u32>::number("points", "how many points an endpoint of mean weight has").at_least(1).default("160");
const SIZES: Param<RangeInclusive<u32>> =
    ParamBuilder::new("sizes", Kind::Range, "how many points there may be in all")
        .preset("1024..8388608", (1024, 8_388_608));

const FACTOR: Param<f64> = Param::real("factor", "the bound as a multiple of the mean: at least 1").default("1.25");
const SIZE: Param<usize> = Param::<usize>::number("size", "how many endpoints a client uses").at_least(1).required("7");
const CLIENT_SEED: Param<u64> = Param::<u64>::number("seed", "another number for each client").required("7");
const SUBSET_AT_LEAST: Param<Option<usize>> =
    Param::<usize>::number("at-least", "adds endpoints while fewer are eligible")
        .at_least(1)
        .otherwise("the size", "7");
const PEER: Param<u32> = Param::<u32>::number("peer", "this client's number, from 0").required("7");
const PEERS: Param<u32> = Param::<u32>::number("peers", "how many clients there are").at_least(1).required("7");
const MINIMUM: Param<u32> =
    Param::<u32>::number("minimum", "how many endpoints a client uses at least").at_least(1).default("12");
const APERTURE_AT_LEAST: Param<Option<usize>> =
    Param::<usize>::number("at-least", "adds endpoints while fewer are eligible")
        .at_least(1)
        .otherwise("the minimum", "7");
const ZONE: Param<String> = Param::text("zone", "the client's zone").required("eu-1a");
const ZONE_MINIMUM: Param<usize> =
    Param::<usize>::number("minimum", "how many endpoints of the zone must be eligible for zones to count")
        .default("1");
const CALLERS: Param<Option<BTreeMap<String, u32>>> =
    ParamBuilder::<BTreeMap<String, u32>>::new("callers", Kind::NumbersByName, "how many clients each zone has")
        .otherwise("evenly spread", "{eu-1a=3, eu-1b=2}");
const WINDOW: Param<Duration> = Param::time("window", "how long the rise takes; 0s turns it off").default("30s");
const AGGRESSION: Param<f64> =
    Param::real("aggression", "1 rises linearly; more rises faster at first, less slower").default("1");
const FLOOR: Param<f64> = Param::real("floor", "the fraction of its share to begin with").default("0.1");
const FROM_THE_FIRST: Param<bool> = Param::bool("from-the-first", "whether a pool's first endpoints start slowly too");

/// The definitions of all strategies. A test checks that their defaults are those of the builders.
pub(super) const ALL: &[StrategyDefinition] = &[
    StrategyDefinition::new(
        "round-robin",
        "takes turns by weight, as evenly spread as possible (nginx's sequence)",
        &[],
        |_| Ok(AnyStrategy::new(RoundRobin::new())),
    ),
    StrategyDefinition::new(
        "edf",
        "takes turns by weight and earliest deadline, from a random start",
        &[EDF_SEED.parameter],
        |settings| Ok(AnyStrategy::new(settings.get(&EDF_SEED).map_or_else(Edf::new, Edf::seeded))),
    ),
    StrategyDefinition::new("random", "picks at random, in proportion to the weights", &[], |_| {
        Ok(AnyStrategy::new(Random::new()))
    }),
    StrategyDefinition::new(
        "p2c",
        "of a few endpoints drawn at random, the one with the fewest requests in flight",
        &[CHOICES.parameter],
        |settings| Ok(AnyStrategy::new(P2c::with_choices(settings.get(&CHOICES))?)),
    ),
    StrategyDefinition::new(
        "least-connections",
        "of all endpoints, the one with the fewest requests in flight for its weight",
        &[],
        |_| Ok(AnyStrategy::new(LeastConnections::new())),
    ),
    StrategyDefinition::new("first-fit", "fills one endpoint up to its limit before it uses the next", &[], |_| {
        Ok(AnyStrategy::new(FirstFit::new()))
    }),
    StrategyDefinition::new(
        "least-time",
        "of a few, the lowest product of average time to the first byte and requests in flight (nginx's)",
        &[CHOICES.parameter, PERIOD.parameter],
        |settings| {
            let strategy = LeastTime::with_choices(settings.get(&CHOICES))?;
            Ok(AnyStrategy::new(strategy.period(settings.get(&PERIOD))?))
        },
    ),
    StrategyDefinition::new(
        "peak-ewma",
        "of two drawn at random, the one expected to answer sooner; a failure counts as latency",
        &[DECAY.parameter, FADE.parameter, PENALTY.parameter],
        |settings| {
            let strategy = PeakEwma::new().decay(settings.get(&DECAY))?.fade(settings.get(&FADE))?;
            Ok(AnyStrategy::new(strategy.penalty(settings.get(&PENALTY))))
        },
    ),
    StrategyDefinition::new(
        "maglev",
        "places by key with one look-up in a table; the most even and the fastest",
        &[TABLE.parameter, SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Maglev::new().table_size(settings.get(&TABLE))?.seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::new(
        "ring",
        "places by key at the next point on a circle; an endpoint that joins or leaves moves only its own keys",
        &[POINTS.parameter, SIZES.parameter, SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Ring::new().points(settings.get(&POINTS))?;
            let strategy = strategy.sizes(settings.get(&SIZES))?.seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::new(
        "rendezvous",
        "places by key at the highest score of key and endpoint; exact, and O(n) a pick",
        &[SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Rendezvous::new().seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::new(
        "jump",
        "places by key at a number computed from it; for sets that grow and shrink at their end",
        &[SEED.parameter, FALLBACK.parameter],
        |settings| {
            let strategy = Jump::new().seed(settings.get(&SEED));
            Ok(AnyStrategy::new(strategy.fallback(settings.fallback())))
        },
    ),
    StrategyDefinition::combinator(
        "bounded-load",
        "bounds each endpoint's requests in flight to a multiple of the mean",
        &[FACTOR.parameter],
        |settings| Ok(AnyStrategy::new(BoundedLoad::new(settings.inner()).factor(settings.get(&FACTOR))?)),
    ),
    StrategyDefinition::combinator(
        "subset",
        "restricts each client to a few endpoints, chosen by hashing with the client's seed",
        &[SIZE.parameter, CLIENT_SEED.parameter, SUBSET_AT_LEAST.parameter],
        |settings| {
            let size = settings.get(&SIZE);
            let strategy = Subset::new(settings.inner(), size, settings.get(&CLIENT_SEED));
            Ok(AnyStrategy::new(strategy.at_least(settings.get(&SUBSET_AT_LEAST).unwrap_or(size))))
        },
    ),
    StrategyDefinition::combinator(
        "aperture",
        "restricts each client to a few endpoints, so that all clients together load them evenly",
        &[PEER.parameter, PEERS.parameter, MINIMUM.parameter, APERTURE_AT_LEAST.parameter],
        |settings| {
            let strategy = Aperture::new(settings.inner(), settings.get(&PEER), settings.get(&PEERS))?;
            let strategy = strategy.minimum(settings.get(&MINIMUM));
            Ok(AnyStrategy::new(match settings.get(&APERTURE_AT_LEAST) {
                Some(eligible) => strategy.at_least(eligible),
                None => strategy,
            }))
        },
    ),
    StrategyDefinition::combinator(
        "zone-aware",
        "prefers the endpoints in the client's own zone, as long as that does not overload them",
        &[ZONE.parameter, ZONE_MINIMUM.parameter, CALLERS.parameter],
        |settings| {
            let strategy = ZoneAware::new(settings.inner(), settings.get(&ZONE));
            let strategy = strategy.minimum(settings.get(&ZONE_MINIMUM));
            Ok(AnyStrategy::new(match settings.get(&CALLERS) {
                Some(callers) => strategy.callers(callers),
                None => strategy,
            }))
        },
    ),
    StrategyDefinition::combinator(
        "slow-start",
        "raises the share of endpoints that are new or come back little by little",
        &[WINDOW.parameter, AGGRESSION.parameter, FLOOR.parameter, FROM_THE_FIRST.parameter],
        |settings| {
            let strategy = SlowStart::new(settings.inner()).window(settings.get(&WINDOW));
            let strategy = strategy.aggression(settings.get(&AGGRESSION))?.floor(settings.get(&FLOOR))?;
            let from_the_first = settings.get(&FROM_THE_FIRST);
            Ok(AnyStrategy::new(if from_the_first { strategy.from_the_first() } else { strategy }))
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
