//! The check that a failing endpoint gets no more than its share of the requests, for fast and slow failures and for
//! frequent and rare requests.

use std::{cmp::Reverse, collections::BTreeMap, fmt, time::Duration};

use super::{
    Check, Findings,
    world::{Chance, World, id},
};
use crate::{
    entropy::Entropy,
    lease::Lease,
    request::PickRequest,
    strategy::{AnyStrategy, Strategy},
    time::Timestamp,
    verdict::{Failure, Verdict},
};

const ENDPOINTS: usize = 4;

/// The latency of an endpoint that works.
const USUAL: Duration = Duration::from_millis(10);

/// The time for which the failing endpoint works before it fails.
const WORKS_UNTIL: Duration = Duration::from_secs(10);

/// The time in which requests are counted: the second minute.
const COUNTED: std::ops::Range<Duration> = Duration::from_secs(60)..Duration::from_secs(120);

/// Pairs of a rate (requests per second) and a number of runs. Low rates need more runs for a significant result.
const RATES: [(f64, u64); 4] = [(1.0, 30), (2.0, 15), (10.0, 6), (50.0, 3)];

/// How the requests of the failing endpoint end.
#[derive(Clone, Copy)]
enum Ending {
    Answered,
    Failed(Duration),
    GivenUp(Duration),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => f.write_str("answers"),
            Self::Failed(after) => write!(f, "fails after {after:?}"),
            Self::GivenUp(after) => write!(f, "never answers, and requests are given up after {after:?}"),
        }
    }
}

const FAULTS: [Ending; 3] = [
    Ending::Failed(Duration::from_millis(1)),
    Ending::Failed(Duration::from_millis(500)),
    Ending::GivenUp(Duration::from_secs(1)),
];

pub(super) fn check(make: &dyn Fn() -> AnyStrategy, seed: u64, findings: &mut Findings) {
    for (rate, runs) in RATES {
        let share = |ending| {
            let counts = (0..runs).map(|run| count(make(), rate, ending, seed.wrapping_add(run)));
            counts
                .sum::<Result<Tally, String>>()
                .map(|Tally { failing, all }| (failing as f64 / all as f64, all as f64))
        };
        let mut fault = |what: String| findings.note(Check::Failing, seed, format!("at {rate} requests/s: {what}"));
        let works = match share(Ending::Answered) {
            Ok((works, _)) => works,
            Err(error) => return fault(error),
        };
        let fair = match used(make(), seed) {
            Ok(used) => 1.0 / used.max(1) as f64,
            Err(error) => return fault(error),
        };
        // With keys, an endpoint may get more than its weight's share while it works. When it fails, it must not get
        // more than that.
        let most = if make().needs().places_by_key() { works.max(fair) } else { fair };
        for ending in FAULTS {
            match share(ending) {
                // Both shares are samples of the same size.
                Ok((fails, all)) if fails <= most + 4.0 * (most * (1.0 - most) / all).sqrt() => {}
                Ok((fails, _)) => fault(format!(
                    "an endpoint that {ending} gets {:.1} % of the requests, and {:.1} % while it works",
                    100.0 * fails,
                    100.0 * works
                )),
                Err(error) => return fault(error),
            }
        }
    }
}

/// Returns the number of endpoints that the strategy uses. It uses an endpoint if it picks it when all others are
/// excluded.
fn used(strategy: AnyStrategy, seed: u64) -> Result<usize, String> {
    let world = World::of(strategy, &[1; ENDPOINTS], seed).map_err(|error| format!("refuses its members: {error}"))?;
    let picks = |at: &usize| {
        let others: Vec<_> = (0..ENDPOINTS).filter(|other| other != at).map(id).collect();
        world.pool.pick(&PickRequest::new().key(b"any").exclude(&others)).is_ok()
    };
    Ok((0..ENDPOINTS).filter(picks).count())
}

struct Tally {
    failing: u64,
    all: u64,
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self { failing: 0, all: 0 }, |sum, one| Self {
            failing: sum.failing + one.failing,
            all: sum.all + one.all,
        })
    }
}

/// Requests in flight, by the time at which they end and their number. The first request to end comes last.
type UnderWay = BTreeMap<Reverse<(Timestamp, u64)>, (Lease<()>, Option<Verdict>)>;

/// Counts the requests of one run, and those of them that the first of four equal endpoints gets. Requests arrive at
/// random times.
fn count(strategy: AnyStrategy, rate: f64, ending: Ending, seed: u64) -> Result<Tally, String> {
    let world = World::of(strategy, &[1; ENDPOINTS], seed).map_err(|error| format!("refuses its members: {error}"))?;
    let (dice, failing) = (Chance::new(!seed), id(0));
    let mut under_way = UnderWay::new();
    let (mut tally, mut time) = (Tally { failing: 0, all: 0 }, Duration::ZERO);
    // The clock of a world does not start at zero.
    let start = crate::time::Clock::now(&*world.clock);
    for number in 0u64.. {
        let unit = (dice.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        time += Duration::from_secs_f64(-(1.0 - unit).ln() / rate);
        if time >= COUNTED.end {
            break;
        }
        let now = start + time;
        while let Some(first) = under_way.last_entry().filter(|entry| entry.key().0.0 <= now) {
            world.clock.set(first.key().0.0);
            let (lease, verdict) = first.remove();
            match verdict {
                Some(verdict) => lease.finish(verdict),
                None => drop(lease),
            }
        }
        world.clock.set(now);
        let key = dice.next_u64().to_le_bytes();
        let lease =
            world.pool.pick(&PickRequest::new().key(&key)).map_err(|error| format!("picked no endpoint ({error})"))?;
        let fails = *lease.endpoint().id() == failing;
        if COUNTED.contains(&time) {
            tally.failing += u64::from(fails);
            tally.all += 1;
        }
        let (takes, verdict) = match ending {
            Ending::Failed(after) if fails && time >= WORKS_UNTIL => (after, Some(Verdict::Failure(Failure::Server))),
            Ending::GivenUp(after) if fails && time >= WORKS_UNTIL => (after, None),
            _ => (USUAL, Some(Verdict::Success)),
        };
        under_way.insert(Reverse((now + takes, number)), (lease, verdict));
    }
    Ok(tally)
}
