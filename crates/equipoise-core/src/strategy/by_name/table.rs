//! Every strategy by name: what is parsed, written and listed follows from here.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use super::{AnyStrategy, Definition, Kind, Parameter, Preset};
use crate::strategy::{
    Aperture, BoundedLoad, Edf, FirstFit, Jump, LeastConnections, LeastTime, Maglev, P2c, PeakEwma, Random, Rendezvous,
    Ring, RoundRobin, SlowStart, Subset, ZoneAware,
};

const fn parameter(name: &'static str, kind: Kind, preset: Preset, about: &'static str) -> Parameter {
    Parameter { name, kind, preset, about }
}

const CHOICES: Parameter =
    parameter("choices", Kind::CHOICES, Preset::Is("2"), "how many endpoints are drawn and compared");
const SEED: Parameter =
    parameter("seed", Kind::SEED, Preset::Is("0"), "another seed is another placement; balancers that agree share it");
const FALLBACK: Parameter =
    parameter("fallback", Kind::Strategy, Preset::Is("random"), "what chooses for requests without a key");

/// A test compares the presets with the builders' defaults.
pub(super) const ALL: &[Definition] = &[
    Definition {
        name: "round-robin",
        about: "takes turns by weight, as evenly spread as can be (nginx's sequence)",
        wraps: false,
        parameters: &[],
        make: |_| Ok(AnyStrategy::new(RoundRobin::new())),
    },
    Definition {
        name: "edf",
        about: "takes turns by weight and earliest deadline, from a random start",
        wraps: false,
        parameters: &[parameter("seed", Kind::SEED, Preset::Drawn, "the start")],
        make: |settings| Ok(AnyStrategy::new(settings.get_if_set("seed").map_or_else(Edf::new, Edf::seeded))),
    },
    Definition {
        name: "random",
        about: "picks at random, in proportion to the weights",
        wraps: false,
        parameters: &[],
        make: |_| Ok(AnyStrategy::new(Random::new())),
    },
    Definition {
        name: "p2c",
        about: "of a few endpoints drawn at random, the one with the fewest requests in flight",
        wraps: false,
        parameters: &[CHOICES],
        make: |settings| Ok(AnyStrategy::new(P2c::with_choices(settings.get("choices"))?)),
    },
    Definition {
        name: "least-connections",
        about: "the fewest requests in flight for its weight, exactly",
        wraps: false,
        parameters: &[],
        make: |_| Ok(AnyStrategy::new(LeastConnections::new())),
    },
    Definition {
        name: "first-fit",
        about: "fills one endpoint up to its limit before it turns to the next",
        wraps: false,
        parameters: &[],
        make: |_| Ok(AnyStrategy::new(FirstFit::new())),
    },
    Definition {
        name: "least-time",
        about: "of a few, the lowest average time to the first byte times requests in flight (nginx's)",
        wraps: false,
        parameters: &[
            CHOICES,
            parameter("period", Kind::Time, Preset::Is("10s"), "an average halves for each without an answer"),
        ],
        make: |settings| {
            let strategy = LeastTime::with_choices(settings.get("choices"))?;
            Ok(AnyStrategy::new(strategy.period(settings.get("period"))?))
        },
    },
    Definition {
        name: "peak-ewma",
        about: "of two drawn at random, the one expected to answer sooner; failures count as time lost",
        wraps: false,
        parameters: &[
            parameter("decay", Kind::Time, Preset::Is("10s"), "after it, an old latency counts for 1/e"),
            parameter("fade", Kind::Time, Preset::Is("2.5s"), "after it, what is known of an idle one counts for 1/e"),
            parameter("penalty", Kind::Time, Preset::Is("5s"), "what failing costs on top of the latency"),
        ],
        make: |settings| {
            let strategy = PeakEwma::new().decay(settings.get("decay"))?.fade(settings.get("fade"))?;
            Ok(AnyStrategy::new(strategy.penalty(settings.get("penalty"))))
        },
    },
    Definition {
        name: "maglev",
        about: "places by key: one look-up in a table; the evenest, the fastest",
        wraps: false,
        parameters: &[
            parameter("table", Kind::POSITIVE, Preset::Is("65537"), "how many entries: a prime number up to 5000011"),
            SEED,
            FALLBACK,
        ],
        make: |settings| {
            let strategy = Maglev::new().table_size(settings.get("table"))?.seed(settings.get("seed"));
            Ok(AnyStrategy::new(strategy.fallback(settings.get::<AnyStrategy>("fallback"))))
        },
    },
    Definition {
        name: "ring",
        about: "places by key: the next point on a circle; who comes or goes moves only its own keys",
        wraps: false,
        parameters: &[
            parameter("points", Kind::POSITIVE, Preset::Is("160"), "how many an endpoint of mean weight has"),
            parameter("sizes", Kind::Range, Preset::Is("1024..8388608"), "how many points there may be in all"),
            SEED,
            FALLBACK,
        ],
        make: |settings| {
            let strategy = Ring::new().points(settings.get("points"))?;
            let strategy = strategy.sizes(settings.get::<RangeInclusive<u32>>("sizes"))?.seed(settings.get("seed"));
            Ok(AnyStrategy::new(strategy.fallback(settings.get::<AnyStrategy>("fallback"))))
        },
    },
    Definition {
        name: "rendezvous",
        about: "places by key: the highest score of key and endpoint; exact, and O(n) a pick",
        wraps: false,
        parameters: &[SEED, FALLBACK],
        make: |settings| {
            let strategy = Rendezvous::new().seed(settings.get("seed"));
            Ok(AnyStrategy::new(strategy.fallback(settings.get::<AnyStrategy>("fallback"))))
        },
    },
    Definition {
        name: "jump",
        about: "places by key: computes a number from it; for sets that grow and shrink at their end",
        wraps: false,
        parameters: &[SEED, FALLBACK],
        make: |settings| {
            let strategy = Jump::new().seed(settings.get("seed"));
            Ok(AnyStrategy::new(strategy.fallback(settings.get::<AnyStrategy>("fallback"))))
        },
    },
    Definition {
        name: "bounded-load",
        about: "bounds each endpoint's requests in flight to a factor of the mean",
        wraps: true,
        parameters: &[parameter("factor", Kind::Real, Preset::Is("1.25"), "how far above the mean: at least 1")],
        make: |settings| Ok(AnyStrategy::new(BoundedLoad::new(settings.inner()).factor(settings.get("factor"))?)),
    },
    Definition {
        name: "subset",
        about: "keeps each client to a few endpoints, chosen by hashing with its seed",
        wraps: true,
        parameters: &[
            parameter("size", Kind::POSITIVE, Preset::Required, "how many"),
            parameter("seed", Kind::SEED, Preset::Required, "another one for each client"),
            parameter("at-least", Kind::POSITIVE, Preset::Otherwise("the size"), "tops up while fewer are eligible"),
        ],
        make: |settings| {
            let size = settings.get("size");
            let strategy = Subset::new(settings.inner(), size, settings.get("seed"));
            Ok(AnyStrategy::new(strategy.at_least(settings.get_if_set("at-least").unwrap_or(size))))
        },
    },
    Definition {
        name: "aperture",
        about: "keeps each client to a few endpoints, so that all clients load them evenly",
        wraps: true,
        parameters: &[
            parameter("peer", Kind::COUNT, Preset::Required, "this client's number, from 0"),
            parameter("peers", Kind::POSITIVE, Preset::Required, "how many clients there are"),
            parameter("minimum", Kind::POSITIVE, Preset::Is("12"), "how many endpoints at least"),
            parameter("at-least", Kind::POSITIVE, Preset::Otherwise("the minimum"), "adds while fewer are eligible"),
        ],
        make: |settings| {
            let strategy = Aperture::new(settings.inner(), settings.get("peer"), settings.get("peers"))?;
            let strategy = strategy.minimum(settings.get("minimum"));
            Ok(match settings.get_if_set("at-least") {
                Some(eligible) => AnyStrategy::new(strategy.at_least(eligible)),
                None => AnyStrategy::new(strategy),
            })
        },
    },
    Definition {
        name: "zone-aware",
        about: "prefers the endpoints in the client's own zone, as long as that does not overload them",
        wraps: true,
        parameters: &[
            parameter("zone", Kind::Text, Preset::Required, "the client's"),
            parameter("minimum", Kind::COUNT, Preset::Is("1"), "how many have to be eligible there for zones to count"),
            parameter(
                "callers",
                Kind::Shares,
                Preset::Otherwise("evenly spread"),
                "how many clients stand in each zone",
            ),
        ],
        make: |settings| {
            let strategy = ZoneAware::new(settings.inner(), settings.get::<String>("zone"));
            let strategy = strategy.minimum(settings.get("minimum"));
            Ok(AnyStrategy::new(match settings.get_if_set::<BTreeMap<String, u32>>("callers") {
                Some(callers) => strategy.callers(callers),
                None => strategy,
            }))
        },
    },
    Definition {
        name: "slow-start",
        about: "lets endpoints that are new or come back take up their share little by little",
        wraps: true,
        parameters: &[
            parameter("window", Kind::Time, Preset::Is("30s"), "how long it takes; 0s turns it off"),
            parameter(
                "aggression",
                Kind::Real,
                Preset::Is("1"),
                "1 rises in a line, more faster at first, less slower",
            ),
            parameter("floor", Kind::Real, Preset::Is("0.1"), "the part of its share to begin with"),
            parameter("from-the-first", Kind::Flag, Preset::Is("false"), "also a pool's first members start slowly"),
        ],
        make: |settings| {
            let strategy = SlowStart::new(settings.inner()).window(settings.get::<Duration>("window"));
            let strategy = strategy.aggression(settings.get("aggression"))?.floor(settings.get("floor"))?;
            let from_the_first = settings.get("from-the-first");
            Ok(AnyStrategy::new(if from_the_first { strategy.from_the_first() } else { strategy }))
        },
    },
];
