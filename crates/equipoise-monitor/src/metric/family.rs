use std::borrow::Cow;

/// A metric family: all series with the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Family {
    base: Cow<'static, str>,
    help: Cow<'static, str>,
    kind: Kind,
    unit: Option<Unit>,
    labels: &'static [&'static str],
}

/// What the values of a [`Family`] mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A number of events so far. It never decreases while its series exists.
    Counter,
    /// A number that may increase and decrease.
    Gauge,
    /// The numbers of observations by their size, with their sum.
    Histogram,
    /// A series with the constant value 1, whose labels are the information.
    Info,
}

impl Kind {
    /// Returns the kind as a word: `counter`, `gauge`, `histogram` or `info`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// The unit of the values of a [`Family`]. Numbers of things have no unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// Seconds. Points in time are seconds since 1970.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// Returns the unit as the word that names of metrics end with: `seconds` or `bytes`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }
}

impl Family {
    pub(super) const fn counter(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::of(Kind::Counter, base, labels, help)
    }

    pub(super) const fn gauge(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::of(Kind::Gauge, base, labels, help)
    }

    pub(super) const fn histogram(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::of(Kind::Histogram, base, labels, help)
    }

    pub(super) const fn info(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self::of(Kind::Info, base, labels, help)
    }

    const fn of(kind: Kind, base: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { base: Cow::Borrowed(base), help: Cow::Borrowed(help), kind, unit: None, labels }
    }

    pub(super) const fn seconds(mut self) -> Self {
        self.unit = Some(Unit::Seconds);
        self
    }

    pub(super) const fn bytes(mut self) -> Self {
        self.unit = Some(Unit::Bytes);
        self
    }

    /// Creates a family whose name is known at run time only. A unit at the end of the name becomes the unit. Characters
    /// of the help that a text format would have to escape are replaced.
    pub(super) fn named(kind: Kind, mut name: String, help: &'static str, labels: &'static [&'static str]) -> Self {
        let help = match help.contains(|c: char| c.is_control() || c == '\\' || c == '"') {
            true => Cow::Owned(help.replace(char::is_control, " ").replace(['\\', '"'], "'")),
            false => Cow::Borrowed(help),
        };
        let unit = [Unit::Seconds, Unit::Bytes]
            .into_iter()
            .find(|unit| name.strip_suffix(unit.as_str()).is_some_and(|base| base.len() > 1 && base.ends_with('_')));
        if let Some(unit) = unit {
            name.truncate(name.len() - unit.as_str().len() - 1);
        }
        Self { base: Cow::Owned(name), help, kind, unit, labels }
    }

    /// Returns the name of the family without unit and suffix, such as `equipoise_endpoint_attempts`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the name of the series of the family, such as `equipoise_endpoint_attempts_total`: the
    /// [base](Self::base), the unit, and `_total` for counters or `_info` for information. The series of histograms have
    /// one of the suffixes `_bucket`, `_sum` and `_count` in addition.
    ///
    /// ```
    /// # #[cfg(any(feature = "prometheus", feature = "metrics"))] {
    /// use equipoise_monitor::metric::families;
    ///
    /// assert!(families().iter().any(|family| family.name() == "equipoise_endpoint_attempts_total"));
    /// # }
    /// ```
    pub fn name(&self) -> String {
        let unit = self.unit.map_or_else(String::new, |unit| format!("_{}", unit.as_str()));
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        };
        format!("{}{unit}{suffix}", self.base)
    }

    /// Returns what the values are, as one sentence for people.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Returns what the values mean.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the unit of the values. `None` for numbers of things.
    pub const fn unit(&self) -> Option<Unit> {
        self.unit
    }

    /// Returns the names of the labels of each series.
    pub const fn labels(&self) -> &'static [&'static str] {
        self.labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_at_the_end_of_a_name_is_the_unit() {
        for (name, kind, base, unit, series) in [
            ("a_received_bytes", Kind::Counter, "a_received", Some(Unit::Bytes), "a_received_bytes_total"),
            ("a_wait_seconds", Kind::Gauge, "a_wait", Some(Unit::Seconds), "a_wait_seconds"),
            ("a_connections_open", Kind::Gauge, "a_connections_open", None, "a_connections_open"),
            ("a_megabytes", Kind::Counter, "a_megabytes", None, "a_megabytes_total"),
            ("bytes", Kind::Counter, "bytes", None, "bytes_total"),
        ] {
            let family = Family::named(kind, name.to_owned(), "Help.", &[]);
            assert_eq!((family.base(), family.unit(), &*family.name()), (base, unit, series), "{name}");
        }
    }
}
