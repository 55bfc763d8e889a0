use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::report::{FunctionReading, FunctionReport, ReadingKind};

/// A function of a gateway for a [`Monitor`](crate::Monitor): a cache, a rate limit, an authentication or another layer of
/// `equipoise_gateway`, with a closure that reads its counters.
///
/// A function that several listeners or routes share is added once.
///
/// ```
/// use equipoise_gateway::filter::{Maintenance, MaintenanceLayer};
/// use equipoise_monitor::{Monitor, WatchedFunction};
///
/// let maintenance = Maintenance::new();
/// let layer = MaintenanceLayer::new(maintenance.clone());
/// let monitor = Monitor::new();
/// monitor.add_function(WatchedFunction::new("site maintenance", move |into| into.maintenance(&layer.stats())));
/// maintenance.switch(true);
/// assert_eq!(monitor.snapshot().functions[0].value("maintenance_active", &[]), Some(1));
/// ```
#[derive(Clone)]
#[must_use]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
pub struct WatchedFunction {
    pub(crate) name: Arc<str>,
    read: Arc<dyn Fn(&mut FunctionReadings) + Send + Sync>,
}

/// Takes the counters and states of a function. [`WatchedFunction::new`] says how it is used.
///
/// If two readings have the same name and the same labels, for example of two API key schemes, counters and sizes are
/// added up. Of states and of points in time, the smallest value is kept.
#[derive(Debug, Default)]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
pub struct FunctionReadings {
    readings: Vec<FunctionReading>,
    problems: Vec<String>,
}

impl WatchedFunction {
    /// Creates a function. `name` identifies it in metrics, for example by its place in the configuration.
    ///
    /// `read` is called for each snapshot, and must be fast. It passes the statistics of the function to the methods of
    /// [`FunctionReadings`]. If it panics, the snapshot has the function without readings.
    pub fn new(name: impl Into<Arc<str>>, read: impl Fn(&mut FunctionReadings) + Send + Sync + 'static) -> Self {
        Self { name: name.into(), read: Arc::new(read) }
    }

    pub(crate) fn report(&self) -> FunctionReport {
        let mut new = FunctionReadings::default();
        // The readings are dropped after a panic, so no reader sees them half filled.
        if catch_unwind(AssertUnwindSafe(|| (self.read)(&mut new))).is_err() {
            new = FunctionReadings::default();
        }
        let FunctionReadings { readings, problems } = new;
        FunctionReport { name: self.name.to_string(), readings: merged(readings), problems }
    }
}

impl fmt::Debug for WatchedFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedFunction").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The maximum length of the text of a problem. Peers may write such texts.
const MAX_PROBLEM: usize = 500;

/// A value of a label. Names come from the configuration, all others are fixed.
type LabelValue = Cow<'static, str>;

impl FunctionReadings {
    /// Adds what does not work now, for people, such as `keys: connection refused`. Only the first 500 characters are kept.
    pub fn problem(&mut self, text: impl Into<String>) {
        let mut text = text.into();
        if let Some((end, _)) = text.char_indices().nth(MAX_PROBLEM) {
            text.truncate(end);
            text.push('…');
        }
        self.problems.push(text);
    }

    pub(super) fn counter<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [(&'static str, LabelValue); N],
        value: u64,
    ) {
        let labels = labels.into();
        self.readings.push(FunctionReading { name, kind: ReadingKind::Counter, labels, value });
    }

    pub(super) fn gauge<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [(&'static str, LabelValue); N],
        value: u64,
    ) {
        let labels = labels.into();
        self.readings.push(FunctionReading { name, kind: ReadingKind::Gauge, labels, value });
    }

    /// Adds counters that differ in the value of one label only.
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &'static str,
        label: &'static str,
        counts: [(&'static str, u64); N],
    ) {
        for (of, count) in counts {
            self.counter(name, [(label, of.into())], count);
        }
    }
}

/// Merges readings with the same name and labels, which no exporter could tell apart.
fn merged(readings: Vec<FunctionReading>) -> Vec<FunctionReading> {
    let mut places = HashMap::with_capacity(readings.len());
    let mut all: Vec<FunctionReading> = Vec::with_capacity(readings.len());
    for reading in readings {
        let at = *places.entry((reading.name, reading.labels.clone())).or_insert(all.len());
        match all.get_mut(at) {
            Some(first) if is_state(first.name) => first.value = first.value.min(reading.value),
            Some(first) => first.value = first.value.saturating_add(reading.value),
            None => all.push(reading),
        }
    }
    all
}

/// Returns whether the sum of two values with this name would have no meaning.
fn is_state(name: &str) -> bool {
    ["_active", "_connected", "_timestamp_seconds"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Monitor;

    #[test]
    fn equal_readings_are_one_and_states_keep_the_smallest_value() {
        let function = WatchedFunction::new("f", |into| {
            into.counter("requests", [("outcome", "denied".into())], 1);
            into.gauge("redis_connected", [], 1);
            into.counter("requests", [("outcome", "denied".into())], 2);
            into.counter("requests", [("outcome", "allowed".into())], u64::MAX);
            into.counter("requests", [("outcome", "allowed".into())], 1);
            into.gauge("redis_connected", [], 0);
        });
        let report = function.report();
        assert_eq!(report.readings.len(), 3);
        assert_eq!(report.value("requests", &["denied"]), Some(3));
        assert_eq!(report.value("requests", &["allowed"]), Some(u64::MAX));
        assert_eq!(report.value("redis_connected", &[]), Some(0));
        assert_eq!(report.value("requests", &[]), None);
    }

    #[test]
    fn a_long_text_of_a_problem_is_cut_between_characters() {
        let function = WatchedFunction::new("f", |into| {
            into.problem("é".repeat(MAX_PROBLEM));
            into.problem("é".repeat(MAX_PROBLEM + 1));
        });
        let [whole, cut] = &function.report().problems[..] else { panic!("two problems") };
        assert_eq!((whole.chars().count(), cut.chars().count()), (MAX_PROBLEM, MAX_PROBLEM + 1));
        assert!(cut.ends_with("é…"));
    }

    #[test]
    fn a_function_that_panics_has_no_readings_and_the_others_are_read() {
        let monitor = Monitor::new();
        monitor.add_function(WatchedFunction::new("bad", |into| {
            into.gauge("half", [], 1);
            into.problem("half");
            panic!("it panics");
        }));
        monitor.add_function(WatchedFunction::new("good", |into| into.gauge("whole", [], 2)));
        let functions = monitor.snapshot().functions;
        assert_eq!(functions[0], FunctionReport { name: "bad".to_owned(), ..FunctionReport::default() });
        assert_eq!(functions[1].value("whole", &[]), Some(2));
    }

    #[test]
    fn a_function_is_read_at_each_snapshot_until_it_is_replaced_or_removed() {
        let monitor = Monitor::new();
        let of = |value| WatchedFunction::new("cache", move |into| into.gauge("keys", [], value));
        let values = || -> Vec<_> { monitor.snapshot().functions.iter().map(|f| f.value("keys", &[])).collect() };
        monitor.add_function(of(1));
        monitor.add_function(of(2));
        assert_eq!(values(), [Some(2)]);
        monitor.replace([], []);
        assert_eq!(values(), [Some(2)]);
        monitor.replace_functions([of(3), of(4)]);
        assert_eq!(values(), [Some(4)]);
        assert!(monitor.remove_function("cache") && !monitor.remove_function("cache"));
        assert_eq!(values(), []);
    }
}
