//! The text of one family, written by prometheus-client.

use std::{
    collections::HashMap,
    fmt::{self, Write},
    sync::Arc,
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

/// Writes the family with a number, in the order in which families are visited.
pub(super) fn write_family(out: &mut String, readout: &Arc<Readout>, number: usize, format: Format) -> fmt::Result {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(One { readout: Arc::clone(readout), number }));
    write_registry(out, &registry, format)
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

/// A collector of one family, because only collectors get an encoder.
struct One {
    readout: Arc<Readout>,
    number: usize,
}

impl fmt::Debug for One {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("One").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Collector for One {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.readout.visit(&mut Encode { encoder, only: Some(self.number), at: 0 })
    }
}

struct Encode<'e> {
    encoder: DescriptorEncoder<'e>,
    /// The number of the only family to encode. `None`: all.
    only: Option<usize>,
    at: usize,
}

impl Sink for Encode<'_> {
    type Error = fmt::Error;

    fn family<'a>(&mut self, family: &Family, samples: impl Iterator<Item = Sample<'a>>) -> fmt::Result {
        let at = self.at;
        self.at += 1;
        let mut samples = samples.peekable();
        if self.only.is_some_and(|only| only != at) || samples.peek().is_none() {
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
        samples.try_for_each(|(labels, value)| encode_sample(&mut encoder, family.kind(), &labels, &value))
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
