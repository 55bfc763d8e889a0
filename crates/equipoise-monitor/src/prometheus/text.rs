//! The text of one family, written by prometheus-client.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, prometheus_text, text},
    metrics::{MetricType, exemplar::Exemplar},
    registry::{self, Registry},
};

use super::{Format, bucket};
use crate::metric::{Family, Kind, Labels, Readout, Sample, Sink, Unit, Value};

/// Labels beside those of the family. There are none.
type NoLabels = [(&'static str, &'static str); 0];

/// Writes what a registry has.
pub(super) fn write_registry(out: &mut String, registry: &Registry, format: Format) -> fmt::Result {
    match format {
        Format::Prometheus => prometheus_text::encode(out, registry),
        Format::OpenMetrics => text::encode_registry(out, registry),
    }
}

/// A part of a family: the samples from `skip` on, at most [`part_of`] of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The number of the family, in the order in which families are visited.
    pub(super) family: usize,
    pub(super) skip: usize,
}

/// Returns how many samples of a family are written at once: about 8 000 lines.
pub(super) const fn part_of(kind: Kind) -> usize {
    match kind {
        Kind::Histogram => 8_192 / (bucket::COUNT + 2),
        _ => 8_192,
    }
}

/// Writes a part of a family. Returns the part that follows, if the family has more samples.
pub(super) fn write_part(
    out: &mut String,
    readout: &Arc<Readout>,
    part: Part,
    format: Format,
) -> Result<Option<Part>, fmt::Error> {
    let start = out.len();
    let next = Arc::new(Next::default());
    let mut registry = Registry::default();
    registry.register_collector(Box::new(One { readout: Arc::clone(readout), part, next: Arc::clone(&next) }));
    write_registry(out, &registry, format)?;
    if part.skip > 0 {
        // The comments about the family are before its first part.
        let lines = out.get(start..).unwrap_or_default().split_inclusive('\n');
        let comments: usize = lines.take_while(|line| line.starts_with('#')).map(str::len).sum();
        out.replace_range(start..start + comments, "");
    }
    let follows = next.follows.load(Ordering::Relaxed);
    Ok(follows.then(|| Part { skip: part.skip + next.written.load(Ordering::Relaxed), ..part }))
}

/// Writes what ends an answer.
pub(super) fn write_end(out: &mut String, format: Format) -> fmt::Result {
    match format {
        Format::Prometheus => Ok(()),
        Format::OpenMetrics => text::encode_eof(out),
    }
}

/// Encodes all families of a readout.
pub(super) fn encode(readout: &Readout, encoder: DescriptorEncoder<'_>) -> fmt::Result {
    readout.visit(&mut Encode { encoder, only: None, at: 0 })
}

/// Returns the number of families.
pub(super) fn count(readout: &Readout) -> usize {
    let mut count = Count(0);
    let Ok(()) = readout.visit(&mut count);
    count.0
}

struct Count(usize);

impl Sink for Count {
    type Error = std::convert::Infallible;

    fn family<'a>(&mut self, _: &Family, _: impl Iterator<Item = Sample<'a>>) -> Result<(), Self::Error> {
        self.0 += 1;
        Ok(())
    }
}

/// A collector of a part of one family, because only collectors get an encoder.
struct One {
    readout: Arc<Readout>,
    part: Part,
    next: Arc<Next>,
}

/// What a collector says after it was encoded. Atomic, because collectors are shared.
#[derive(Default)]
struct Next {
    written: AtomicUsize,
    follows: AtomicBool,
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("One").field("part", &self.part).finish_non_exhaustive()
    }
}

impl Collector for One {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.readout.visit(&mut Encode { encoder, only: Some((self.part, &self.next)), at: 0 })
    }
}

struct Encode<'e, 'n> {
    encoder: DescriptorEncoder<'e>,
    /// The only part to encode. `None`: all families.
    only: Option<(Part, &'n Next)>,
    at: usize,
}

impl Sink for Encode<'_, '_> {
    type Error = fmt::Error;

    fn family<'a>(&mut self, family: &Family, samples: impl Iterator<Item = Sample<'a>>) -> fmt::Result {
        let at = self.at;
        self.at += 1;
        let skip = match self.only {
            None => 0,
            Some((part, _)) if part.family == at => part.skip,
            Some(_) => return Ok(()),
        };
        let mut samples = samples.skip(skip).peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let unit = family.unit().map(|unit| match unit {
            Unit::Seconds => registry::Unit::Seconds,
            Unit::Bytes => registry::Unit::Bytes,
        });
        let kind = match family.kind() {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        };
        let mut encoder = self.encoder.encode_descriptor(family.base(), family.help(), unit.as_ref(), kind)?;
        let kind = family.kind();
        let mut encode = |(labels, value): Sample<'a>| encode_sample(&mut encoder, kind, &labels, &value);
        match self.only {
            None => samples.try_for_each(encode),
            Some((_, next)) => {
                let count = part_of(kind);
                samples.by_ref().take(count).try_for_each(&mut encode)?;
                next.written.store(count, Ordering::Relaxed);
                next.follows.store(samples.peek().is_some(), Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

fn encode_sample(encoder: &mut MetricEncoder<'_>, kind: Kind, labels: &Labels<'_>, value: &Value<'_>) -> fmt::Result {
    const NO_EXEMPLAR: Option<&Exemplar<NoLabels, f64>> = None;
    const NO_EXEMPLARS: Option<&HashMap<usize, Exemplar<NoLabels, f64>>> = None;
    let mut encoder = encoder.encode_family(labels)?;
    match (value, kind) {
        (Value::Histogram(histograms), _) => {
            let buckets = bucket::counts(histograms);
            let sum: f64 = histograms.iter().map(|histogram| histogram.sum().as_secs_f64()).sum();
            let count = buckets.iter().map(|(_, count)| count).sum();
            encoder.encode_histogram(sum, count, &buckets, NO_EXEMPLARS)
        }
        (_, Kind::Info) => {
            let none: NoLabels = [];
            encoder.encode_info(&none)
        }
        (Value::Integer(value), Kind::Counter) => encoder.encode_counter(value, NO_EXEMPLAR),
        (Value::Float(value), Kind::Counter) => encoder.encode_counter(value, NO_EXEMPLAR),
        (Value::Integer(value), _) => encoder.encode_gauge(value),
        (Value::Float(value), _) => encoder.encode_gauge(value),
    }
}

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        for (name, value) in self.iter() {
            let mut label = encoder.encode_label();
            let mut key = label.encode_label_key()?;
            key.write_str(name)?;
            let mut encoder = key.encode_label_value()?;
            write_value(&mut encoder, value)?;
            encoder.finish()?;
        }
        Ok(())
    }
}

/// Writes the value of a label. Quotes, backslashes and newlines are escaped by the encoder. Prometheus takes a null
/// character for the end of the text, and terminals obey others, so control characters are written as `\u{…}`.
fn write_value(out: &mut impl Write, value: &str) -> fmt::Result {
    let is_printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if value.bytes().all(is_printable) || !value.contains(char::is_control) {
        return out.write_str(value);
    }
    value
        .chars()
        .try_for_each(|c| if c.is_control() { write!(out, "{}", c.escape_unicode()) } else { out.write_char(c) })
}
