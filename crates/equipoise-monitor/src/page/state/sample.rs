use std::collections::VecDeque;

use serde::{
    Serialize,
    ser::{SerializeMap, Serializer},
};

use crate::live::Sample;

/// The samples that are sent of a pool or of an endpoint.
#[derive(Clone, Copy)]
pub(super) enum Samples<'a> {
    /// No samples: those that the client has are the newest ones.
    None,
    /// The whole history. Seconds without requests at its beginning are left out.
    All(&'a VecDeque<Sample>),
    /// The newest samples, of at least one second.
    Newest(&'a VecDeque<Sample>, usize),
}

impl<'a> Samples<'a> {
    /// Returns the samples of the last `seconds`.
    pub(super) fn newest(history: &'a VecDeque<Sample>, seconds: usize) -> Self {
        if seconds == 0 { Self::None } else { Self::Newest(history, seconds) }
    }

    /// Returns whether the client can do without them: it takes samples that are not sent as zero.
    pub(super) fn are_zero(self) -> bool {
        match self {
            Self::None => true,
            Self::All(history) => history.iter().all(is_zero),
            Self::Newest(history, seconds) => history.iter().rev().take(seconds).all(is_zero),
        }
    }

    pub(super) fn write<M: SerializeMap>(self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::None => Ok(()),
            Self::All(history) => {
                let first = history.iter().position(|sample| !is_zero(sample)).unwrap_or(history.len());
                map.serialize_entry("samples", &Rows(history, first))
            }
            Self::Newest(history, seconds) => {
                let Some(newest) = history.back() else { return Ok(()) };
                map.serialize_entry("sample", &Row(newest))?;
                match seconds {
                    ..=1 => Ok(()),
                    _ => map.serialize_entry("recent_samples", &Rows(history, history.len().saturating_sub(seconds))),
                }
            }
        }
    }
}

fn is_zero(sample: &Sample) -> bool {
    *sample == Sample::default()
}

/// The samples from an index on.
struct Rows<'a>(&'a VecDeque<Sample>, usize);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().skip(self.1).map(Row))
    }
}

/// A sample as `[rate, errors, in_flight, p50, p99]`.
struct Row<'a>(&'a Sample);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Sample { rate, errors, in_flight, p50, p99 } = self.0;
        let short = |number: f32| three_digits(number.into());
        (short(rate), short(errors), in_flight, p50.map(short), p99.map(short)).serialize(serializer)
    }
}

/// Rounds a number to an integer, or to three digits if it is below 100.
pub(super) fn three_digits(number: f64) -> f64 {
    let decimals = match number.abs() {
        100.0.. => 1.0,
        10.0.. => 10.0,
        1.0.. => 100.0,
        _ => 1_000.0,
    };
    (number * decimals).round() / decimals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_three_digits() {
        for (number, rounded) in
            [(123_456.7, 123_457.0), (99.94, 99.9), (9.996, 10.0), (1.234, 1.23), (0.012_34, 0.012), (0.0, 0.0)]
        {
            assert_eq!(three_digits(number), rounded);
        }
        assert!(three_digits(f64::NAN).is_nan());
    }
}
