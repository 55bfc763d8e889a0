use equipoise_core::LatencyHistogram;

use super::family::Family;

/// The maximum number of labels of a series.
const MAX_LABELS: usize = 5;

/// The labels of one series, in a fixed order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Labels<'a> {
    list: [(&'a str, &'a str); MAX_LABELS],
    len: usize,
}

impl<'a> Labels<'a> {
    pub(crate) fn of(name: &'a str, value: &'a str) -> Self {
        Self::default().with(name, value)
    }

    /// Returns the labels with one more. A label beyond [`MAX_LABELS`] is left out, which no family has.
    pub(crate) fn with(mut self, name: &'a str, value: &'a str) -> Self {
        debug_assert!(self.len < MAX_LABELS, "{self:?}");
        if let Some(free) = self.list.get_mut(self.len) {
            *free = (name, value);
            self.len += 1;
        }
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'_, 'a> {
        self.list.iter().take(self.len).copied()
    }
}

/// The value of one series.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Integer(u64),
    Float(f64),
    /// The histograms whose sum is the value.
    Histogram(Vec<&'a LatencyHistogram>),
}

pub(crate) type Sample<'a> = (Labels<'a>, Value<'a>);

/// Takes the metrics of a [`Readout`](super::Readout), one family after the other.
pub(crate) trait Sink {
    type Error;

    /// Takes all series of a family. `samples` may be empty. Each set of labels occurs once.
    fn family<'a>(&mut self, family: &Family, samples: impl Iterator<Item = Sample<'a>>) -> Result<(), Self::Error>;
}
