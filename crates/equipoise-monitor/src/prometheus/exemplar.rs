use std::{
    collections::HashMap,
    fmt::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::EndpointId;

use super::{
    bucket,
    text::{Part, part_of},
};
use crate::metric::{Family, Kind, Readout, Sample, Sink, Value};

/// One request as an example of the requests in its histogram bucket, with the id of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exemplar {
    /// The time from the pick to the first byte of the response. It decides the bucket of the exemplar.
    pub latency: Duration,
    /// The id of the request's trace, such as 32 hexadecimal digits. An id that is empty, is longer than 64 bytes or has
    /// characters other than ASCII letters and digits is not exported.
    pub trace_id: String,
    /// When the request was measured.
    pub at: SystemTime,
}

impl Exemplar {
    /// Creates an exemplar.
    pub fn new(latency: Duration, trace_id: impl Into<String>, at: SystemTime) -> Self {
        Self { latency, trace_id: trace_id.into(), at }
    }

    fn is_valid(&self) -> bool {
        (1..=64).contains(&self.trace_id.len()) && self.trace_id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }
}

#[cfg(feature = "trace")]
#[cfg_attr(docsrs, doc(cfg(feature = "trace")))]
impl From<crate::trace::Exemplar> for Exemplar {
    fn from(exemplar: crate::trace::Exemplar) -> Self {
        Self::new(exemplar.latency, exemplar.trace_id, exemplar.at)
    }
}

/// Returns the exemplars of an endpoint of a pool.
pub(super) type ReadExemplars = Arc<dyn Fn(&Arc<str>, &EndpointId) -> Vec<Exemplar> + Send + Sync>;

/// The exemplars of one answer: the newest of each bucket, for each pool and each endpoint.
pub(super) struct Exemplars(HashMap<(Arc<str>, Option<EndpointId>), Buckets>);

type Buckets = [Option<Exemplar>; bucket::COUNT];

impl Exemplars {
    pub(super) fn of(readout: &Readout, read: &ReadExemplars) -> Self {
        let mut all = HashMap::new();
        for (pool, endpoints) in readout.endpoints() {
            let mut of_pool: Buckets = Default::default();
            for endpoint in endpoints {
                let exemplars: Vec<_> = read(pool, endpoint).into_iter().filter(Exemplar::is_valid).collect();
                if exemplars.is_empty() {
                    continue;
                }
                let mut of_endpoint: Buckets = Default::default();
                exemplars.into_iter().for_each(|exemplar| put(&mut of_endpoint, exemplar));
                of_endpoint.iter().flatten().for_each(|exemplar| put(&mut of_pool, exemplar.clone()));
                all.insert((Arc::clone(pool), Some(endpoint.clone())), of_endpoint);
            }
            all.insert((Arc::clone(pool), None), of_pool);
        }
        Self(all)
    }

    fn get(&self, pool: &str, endpoint: Option<&str>) -> Option<&Buckets> {
        self.0.get(&(Arc::from(pool), endpoint.map(EndpointId::from)))
    }
}

/// Puts an exemplar into its bucket, unless the bucket has a newer one.
fn put(buckets: &mut Buckets, exemplar: Exemplar) {
    if let Some(slot) = buckets.get_mut(bucket::of(exemplar.latency))
        && slot.as_ref().is_none_or(|other| other.at <= exemplar.at)
    {
        *slot = Some(exemplar);
    }
}

/// Adds exemplars to the text of a part of a family. prometheus-client has no way to encode an exemplar that it has
/// not recorded itself.
pub(super) fn add(text: &mut String, readout: &Readout, part: Part, exemplars: &Exemplars) {
    let mut suffixes = Suffixes { part, exemplars, series: String::new(), buckets: Vec::new() };
    // Ends with an error at the family, after which nothing is left to do.
    let _ = readout.visit(&mut suffixes);
    let Suffixes { series, buckets, .. } = suffixes;
    if buckets.iter().all(Option::is_none) {
        return;
    }
    let mut buckets = buckets.into_iter();
    let mut with_exemplars = String::with_capacity(text.len() + 80 * buckets.len());
    for line in text.split_inclusive('\n') {
        let suffix = if line.starts_with(&series) { buckets.next().flatten() } else { None };
        match suffix {
            Some(suffix) => with_exemplars.extend([line.trim_end_matches('\n'), &suffix, "\n"]),
            None => with_exemplars.push_str(line),
        }
    }
    *text = with_exemplars;
}

/// Collects what belongs behind each line of a bucket in the text of a family.
struct Suffixes<'e> {
    part: Part,
    exemplars: &'e Exemplars,
    /// How the line of each bucket begins.
    series: String,
    /// In the order of the lines.
    buckets: Vec<Option<String>>,
}

/// The family was found.
struct Found;

impl Sink for Suffixes<'_> {
    type Error = Found;

    fn family<'a>(&mut self, family: &Family, samples: impl Iterator<Item = Sample<'a>>) -> Result<(), Found> {
        let Some(number) = self.part.family.checked_sub(1) else {
            if family.kind() == Kind::Histogram && family.base().ends_with("_first_byte") {
                self.series = format!("{}_bucket{{", family.name());
                let samples = samples.skip(self.part.skip).take(part_of(family.kind()));
                samples.for_each(|sample| self.add_series(sample));
            }
            return Err(Found);
        };
        self.part.family = number;
        Ok(())
    }
}

impl Suffixes<'_> {
    fn add_series(&mut self, (labels, value): Sample<'_>) {
        let Value::Histogram(_) = value else { return };
        let label = |name| labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value);
        let first = self.buckets.len();
        self.buckets.resize_with(first + bucket::COUNT, || None);
        let exemplars = self.exemplars.get(label("pool").unwrap_or_default(), label("endpoint"));
        let suffixes = self.buckets.iter_mut().skip(first);
        for (suffix, exemplar) in suffixes.zip(exemplars.into_iter().flatten()) {
            *suffix = exemplar.as_ref().map(text);
        }
    }
}

fn text(exemplar: &Exemplar) -> String {
    let mut text = format!(" # {{trace_id=\"{}\"}} {}", exemplar.trace_id, exemplar.latency.as_secs_f64());
    if let Ok(at) = exemplar.at.duration_since(SystemTime::UNIX_EPOCH) {
        // Writing to a string cannot fail.
        let _ = write!(text, " {:.3}", at.as_secs_f64());
    }
    text
}
