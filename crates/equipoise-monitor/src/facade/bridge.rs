use std::{collections::HashMap, convert::Infallible, time::Duration};

use equipoise_core::LatencyHistogram;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, with_recorder};

use crate::{
    metric::{Family, Kind, Labels, Readout, Sample, Selection, Sink, Unit, Value, families},
    monitor::Monitor,
};

/// The number of rounds without a value after which the last reading of a counter or histogram is forgotten. A series that
/// returns earlier with the same counts, such as that of a reading that failed once, is not counted twice.
const MAX_ABSENT: u64 = 10;

/// The metadata of all metrics, with this module as the target.
static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Copies the metrics of a [`Monitor`] into a recorder of the crate `metrics`.
///
/// The bridge remembers the handles of all series and the last reading of each counter and histogram. Always use the same
/// bridge for one recorder, and only one: with two, counters and histograms would count twice.
///
/// A counter of the recorder never decreases. If a pool or listener is replaced by one that counts from 0 again, its new
/// counts are added to those that the recorder has.
#[must_use]
pub struct Bridge {
    monitor: Monitor,
    selection: Selection,
    series: HashMap<Key, Series>,
    /// The number of the present round.
    round: u64,
}

impl Bridge {
    /// Creates a bridge from a monitor, with the series of single endpoints and without their histograms.
    pub fn new(monitor: &Monitor) -> Self {
        Self { monitor: monitor.clone(), selection: Selection::default(), series: HashMap::new(), round: 0 }
    }

    /// Sets whether the series of single endpoints are recorded: about 15 per endpoint without connections. Default:
    /// true. The series of pools are always recorded.
    pub const fn endpoints(mut self, record: bool) -> Self {
        self.selection.endpoints = record;
        self
    }

    /// Sets whether the histograms of single endpoints are recorded. Default: false. They exist in pools with
    /// [latency histograms](equipoise_core::PoolBuilder::latency_histograms) only. The histograms of pools are always
    /// recorded.
    pub const fn endpoint_histograms(mut self, record: bool) -> Self {
        self.selection.endpoint_histograms = record;
        self
    }

    /// Sets whether metrics of the process are recorded, such as `process_cpu_seconds_total`. Default: false.
    #[cfg(feature = "process")]
    #[cfg_attr(docsrs, doc(cfg(feature = "process")))]
    pub const fn process(mut self, record: bool) -> Self {
        self.selection.process = record;
        self
    }

    /// Describes all metrics with fixed names to the recorder of the thread, or to the global one. Call it once, after
    /// the recorder was installed.
    pub fn describe(&self) {
        with_recorder(|recorder| self.describe_to(recorder));
    }

    /// Describes all metrics with fixed names to a recorder.
    pub fn describe_to(&self, recorder: &dyn Recorder) {
        families().iter().for_each(|family| describe(recorder, family));
    }

    /// Copies all metrics into the recorder of the thread, or into the global one. Without a recorder, nothing happens.
    /// Takes a [snapshot](Monitor::snapshot), and about a microsecond for each series.
    pub fn record(&mut self) {
        with_recorder(|recorder| self.record_to(recorder));
    }

    /// Copies all metrics into a recorder.
    pub fn record_to(&mut self, recorder: &dyn Recorder) {
        self.round += 1;
        let round = self.round;
        let readout = Readout::new(self.monitor.snapshot(), self.selection);
        let Ok(()) = readout.visit(&mut Record { recorder, series: &mut self.series, round });
        self.series.retain(|_, series| {
            let absent = round - series.round;
            match &series.handle {
                Handle::Gauge(gauge) if absent > 0 => {
                    gauge.set(0.0);
                    false
                }
                _ => absent < MAX_ABSENT,
            }
        });
    }
}

impl std::fmt::Debug for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bridge")
            .field("monitor", &self.monitor)
            .field("selection", &self.selection)
            .field("series", &self.series.len())
            .finish_non_exhaustive()
    }
}

fn describe(recorder: &dyn Recorder, family: &Family) {
    let unit = family.unit().map(|unit| match unit {
        Unit::Seconds => metrics::Unit::Seconds,
        Unit::Bytes => metrics::Unit::Bytes,
    });
    let (name, help) = (KeyName::from(family.name()), family.help().to_owned().into());
    match family.kind() {
        Kind::Counter => recorder.describe_counter(name, unit, help),
        Kind::Gauge | Kind::Info => recorder.describe_gauge(name, unit, help),
        Kind::Histogram => recorder.describe_histogram(name, unit, help),
    }
}

/// A series that the recorder knows.
struct Series {
    handle: Handle,
    /// The last round in which the series had a value.
    round: u64,
}

enum Handle {
    /// With the count that the recorder has already.
    Counter(Counter, u64),
    Gauge(Gauge),
    /// With the counts that the recorder has already, by the upper bound of their bucket.
    Histogram(Histogram, HashMap<Duration, u64>),
}

struct Record<'a> {
    recorder: &'a dyn Recorder,
    series: &'a mut HashMap<Key, Series>,
    round: u64,
}

impl Sink for Record<'_> {
    type Error = Infallible;

    fn family<'a>(&mut self, family: &Family, samples: impl Iterator<Item = Sample<'a>>) -> Result<(), Infallible> {
        // Made for the first series only, because most families of a bridge without endpoints have none.
        let mut name = None;
        for (labels, value) in samples {
            let name = name.get_or_insert_with(|| KeyName::from(family.name())).clone();
            self.sample(key(name, &labels), family.kind(), &value);
        }
        Ok(())
    }
}

impl Record<'_> {
    fn sample(&mut self, key: Key, kind: Kind, value: &Value<'_>) {
        let recorder = self.recorder;
        let series = self.series.entry(key).or_insert_with_key(|key| {
            let handle = match kind {
                Kind::Counter => Handle::Counter(recorder.register_counter(key, &METADATA), 0),
                Kind::Gauge | Kind::Info => Handle::Gauge(recorder.register_gauge(key, &METADATA)),
                Kind::Histogram => Handle::Histogram(recorder.register_histogram(key, &METADATA), HashMap::new()),
            };
            Series { handle, round: 0 }
        });
        series.round = self.round;
        match (&mut series.handle, value) {
            (Handle::Counter(counter, recorded), Value::Integer(value)) => count(counter, recorded, *value),
            // The conversion cuts the fraction off.
            (Handle::Counter(counter, recorded), Value::Float(value)) => count(counter, recorded, *value as u64),
            (Handle::Gauge(gauge), Value::Integer(value)) => gauge.set(*value as f64),
            (Handle::Gauge(gauge), Value::Float(value)) => gauge.set(*value),
            (Handle::Histogram(handle, recorded), Value::Histogram(histograms)) => add(handle, recorded, histograms),
            // A family has one kind, and its values fit it.
            (_, _) => {}
        }
    }
}

fn key(name: KeyName, labels: &Labels<'_>) -> Key {
    let labels: Vec<_> = labels.iter().map(|(name, value)| Label::new(name.to_owned(), value.to_owned())).collect();
    Key::from_parts(name, labels)
}

/// Records the events that a counter has in addition to those that were recorded before. An increase of 0 is recorded, too,
/// because recorders may remove counters that are not used for some time.
fn count(handle: &Counter, recorded: &mut u64, value: u64) {
    handle.increment(increase(*recorded, value));
    *recorded = value;
}

/// Returns how many events were counted since the last reading. A lower number is that of a counter that has begun anew
/// at 0.
fn increase(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

/// Records the latencies that histograms have in addition to those that were recorded before.
fn add(handle: &Histogram, recorded: &mut HashMap<Duration, u64>, histograms: &[&LatencyHistogram]) {
    let mut counts: HashMap<Duration, u64> = HashMap::new();
    for (upper, count) in histograms.iter().flat_map(|histogram| histogram.buckets()) {
        *counts.entry(upper).or_default() += count;
    }
    for (upper, count) in counts {
        let before = recorded.insert(upper, count).unwrap_or(0);
        let new = increase(before, count);
        if new > 0 {
            handle.record_many(middle(upper), usize::try_from(new).unwrap_or(usize::MAX));
        }
    }
}

/// Returns the middle of the bucket with an upper bound, in seconds. Each power of two has 16 buckets of equal width, so
/// the middle of one is a 32nd of the power of two below its upper bound.
fn middle(upper: Duration) -> f64 {
    let Some(below) = u64::try_from(upper.as_nanos()).ok().and_then(|upper| upper.checked_sub(1)) else {
        // The bucket without an upper bound begins at 2³⁶ ns.
        return Duration::from_nanos(1 << 36).as_secs_f64();
    };
    let half_width = below.checked_ilog2().map_or(0, |power| (1 << power) >> 5);
    upper.saturating_sub(Duration::from_nanos(half_width)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use metrics_util::{
        MetricKind,
        debugging::{DebugValue, DebuggingRecorder, Snapshotter},
    };

    use super::*;
    use equipoise_core::{Availability, EndpointSpec, PickRequest, Pool, RoundRobin, Verdict};

    use crate::WatchedPool;

    type Recorded = HashMap<(MetricKind, String), (Option<metrics::Unit>, DebugValue)>;

    /// Returns what a recorder has. Counters and histograms have what was recorded since the last call.
    fn recorded(snapshotter: &Snapshotter) -> Recorded {
        let series = snapshotter.snapshot().into_vec().into_iter();
        series
            .map(|(key, unit, _, value)| {
                let labels: Vec<_> =
                    key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
                ((key.kind(), format!("{} {}", key.key().name(), labels.join(" "))), (unit, value))
            })
            .collect()
    }

    fn pool() -> Pool<()> {
        let pool = Pool::builder(RoundRobin::new()).latency_histograms(true).build();
        pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ()).expect("valid endpoints");
        pool
    }

    fn request(pool: &Pool<()>) {
        let mut lease = pool.pick(&PickRequest::new()).expect("an endpoint is up");
        lease.first_byte();
        lease.count_bytes(10, 20);
        lease.finish(Verdict::Success);
    }

    fn bridge(pool: &Pool<()>) -> Bridge {
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", pool));
        Bridge::new(&monitor)
    }

    #[test]
    fn counters_have_the_numbers_of_the_pool() {
        let (recorder, pool) = (DebuggingRecorder::new(), pool());
        let mut bridge = bridge(&pool);
        bridge.describe_to(&recorder);
        for requests in 1..=3 {
            (0..requests).for_each(|_| request(&pool));
            bridge.record_to(&recorder);
            let recorded = recorded(&recorder.snapshotter());
            let name = "equipoise_pool_attempts_total pool=web outcome=success".to_owned();
            assert_eq!(recorded[&(MetricKind::Counter, name)], (None, DebugValue::Counter(requests)));
            let name = "equipoise_pool_sent_bytes_total pool=web".to_owned();
            assert_eq!(recorded[&(MetricKind::Counter, name)].0, Some(metrics::Unit::Bytes));
            let name = "equipoise_endpoint_weight pool=web endpoint=b:80".to_owned();
            assert_eq!(recorded[&(MetricKind::Gauge, name)].1, DebugValue::Gauge(1.0.into()));
        }
    }

    #[test]
    fn a_counter_that_begins_anew_is_added_to_what_was_counted() {
        let (recorder, old, new) = (DebuggingRecorder::new(), pool(), pool());
        let (monitor, bytes) = (Monitor::new(), std::sync::Arc::new(std::sync::atomic::AtomicU64::new(50)));
        let read = bytes.clone();
        monitor.add_listener(crate::WatchedListener::new("front", "http").readings(move |into| {
            let value = read.load(std::sync::atomic::Ordering::Relaxed);
            into.push(crate::report::Reading::counter("bytes", "Bytes.", value));
        }));
        let mut bridge = Bridge::new(&monitor);
        let attempts = "equipoise_pool_attempts_total pool=web outcome=success";
        let mut totals = HashMap::new();
        let mut counted = |name: &str| {
            bridge.record_to(&recorder);
            for ((_, series), (_, value)) in recorded(&recorder.snapshotter()) {
                if let DebugValue::Counter(count) = value {
                    *totals.entry(series).or_insert(0) += count;
                }
            }
            totals[name]
        };
        (0..5).for_each(|_| request(&old));
        monitor.add_pool(WatchedPool::new("web", &old));
        assert_eq!(counted(attempts), 5);
        monitor.add_pool(WatchedPool::new("web", &new));
        assert_eq!(counted(attempts), 5);
        (0..2).for_each(|_| request(&new));
        assert_eq!(counted(attempts), 7);
        // The same pool, after a round without it.
        monitor.remove_pool("web");
        assert_eq!(counted(attempts), 7);
        monitor.add_pool(WatchedPool::new("web", &new));
        assert_eq!(counted(attempts), 7);

        let name = "equipoise_listener_bytes_total listener=front";
        assert_eq!(counted(name), 50);
        bytes.store(20, std::sync::atomic::Ordering::Relaxed);
        assert_eq!((counted(name), counted(name)), (70, 70));
    }

    #[test]
    fn a_latency_is_recorded_once() {
        let (recorder, pool) = (DebuggingRecorder::new(), pool());
        let mut bridge = bridge(&pool);
        let name = (MetricKind::Histogram, "equipoise_pool_first_byte_seconds pool=web".to_owned());
        for requests in [3, 0, 2] {
            (0..requests).for_each(|_| request(&pool));
            bridge.record_to(&recorder);
            // The recorder empties its histograms whenever it is read.
            match recorded(&recorder.snapshotter()).remove(&name) {
                Some((_, DebugValue::Histogram(latencies))) => assert_eq!(latencies.len(), requests),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_gauge_that_is_gone_is_zero() {
        let (recorder, pool) = (DebuggingRecorder::new(), pool());
        let mut bridge = bridge(&pool);
        bridge.record_to(&recorder);
        pool.set_availability("a:80", Availability::Maintenance).expect("a known endpoint");
        pool.remove("b:80").expect("a known endpoint");
        bridge.record_to(&recorder);
        let recorded = recorded(&recorder.snapshotter());
        for (name, value) in [
            ("equipoise_endpoint_availability pool=web endpoint=a:80 availability=up", 0.0),
            ("equipoise_endpoint_availability pool=web endpoint=a:80 availability=maintenance", 1.0),
            ("equipoise_endpoint_weight pool=web endpoint=b:80", 0.0),
        ] {
            let gauge = &recorded[&(MetricKind::Gauge, name.to_owned())].1;
            assert_eq!(*gauge, DebugValue::Gauge(value.into()), "{name}");
        }
        // Only the series of present endpoints are remembered.
        let known = bridge.series.len();
        bridge.record_to(&recorder);
        assert_eq!(bridge.series.len(), known);
    }

    #[test]
    fn the_middle_of_a_bucket_is_in_it() {
        let clock = std::sync::Arc::new(equipoise_core::ManualClock::new());
        let pool = Pool::<()>::builder(RoundRobin::new()).clock(clock.clone()).latency_histograms(true).build();
        pool.add(EndpointSpec::new("a:80"), ()).expect("a valid endpoint");
        for nanos in [2_000u64, 3_333, 1_000_000, 123_456_789, 9_999_999_999] {
            let mut lease = pool.pick(&PickRequest::new()).expect("an endpoint is up");
            clock.advance(Duration::from_nanos(nanos));
            lease.first_byte();
            drop(lease);
            let latency = pool.endpoints().remove(0).latency.expect("a histogram");
            let (upper, _) = latency.buckets().last().expect("a bucket");
            let error = middle(upper) / Duration::from_nanos(nanos).as_secs_f64() - 1.0;
            assert!(error.abs() < 0.033, "{nanos} ns: {error}");
        }
    }
}
