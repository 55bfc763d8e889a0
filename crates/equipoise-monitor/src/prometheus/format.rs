use http::{HeaderMap, header::ACCEPT};

/// A text format for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The text format 0.0.4 of Prometheus, which nearly every tool reads. It has no units and no exemplars.
    #[default]
    Prometheus,
    /// OpenMetrics 1.0, with units and exemplars. Prometheus prefers it.
    OpenMetrics,
}

impl Format {
    /// Returns the format that a client prefers, according to its header `Accept`. Returns
    /// [`Prometheus`](Self::Prometheus) if the header is missing, or names none of the formats.
    ///
    /// ```
    /// use equipoise_monitor::prometheus::Format;
    /// use http::{HeaderMap, HeaderValue, header::ACCEPT};
    ///
    /// let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    /// let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
    /// assert_eq!(Format::accepted(&headers), Format::OpenMetrics);
    /// assert_eq!(Format::accepted(&HeaderMap::new()), Format::Prometheus);
    /// ```
    pub fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let ranges: Vec<_> = values.flat_map(|value| value.split(',')).filter_map(Range::parse).collect();
        let quality = |format: Self| ranges.iter().filter_map(|range| range.quality(format)).max().unwrap_or(0);
        // Named by both with the same quality: the one that can say more.
        match (quality(Self::OpenMetrics), quality(Self::Prometheus)) {
            (open_metrics @ 1.., prometheus) if open_metrics >= prometheus => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Returns the value of the header `Content-Type` for the format.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_client::encoding::prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// One media range of a header `Accept`.
struct Range<'a> {
    media_type: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let mut range = Self { media_type: parts.next()?, version: None, quality: 1000 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim() {
                name if name.eq_ignore_ascii_case("version") => range.version = Some(value),
                name if name.eq_ignore_ascii_case("q") => {
                    let quality: f32 = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
                    range.quality = (quality * 1000.0).round() as u16;
                }
                _ => {}
            }
        }
        Some(range)
    }

    /// Returns the quality of a format. `None` if the range does not contain it. OpenMetrics must be named, because
    /// programs that accept any type rarely read it.
    fn quality(&self, format: Format) -> Option<u16> {
        let is = |media_type: &str| self.media_type.eq_ignore_ascii_case(media_type);
        let matches = match format {
            // Version 0.0.1 is a draft that Prometheus asks for beside 1.0.0. Its readers understand 1.0.0.
            Format::OpenMetrics => {
                is("application/openmetrics-text")
                    && self.version.is_none_or(|version| ["1.0.0", "0.0.1"].contains(&version))
            }
            Format::Prometheus => {
                (is("text/plain") && self.version.is_none_or(|version| version == "0.0.4")) || is("text/*") || is("*/*")
            }
        };
        matches.then_some(self.quality)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accepted(accept: &'static str) -> Format {
        Format::accepted(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
    }

    #[test]
    fn the_client_s_preference_decides() {
        use Format::{OpenMetrics, Prometheus};
        for (accept, format) in [
            ("*/*", Prometheus),
            ("", Prometheus),
            ("text/html", Prometheus),
            ("text/plain", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            ("APPLICATION/OpenMetrics-Text; Version=1.0.0", OpenMetrics),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0", Prometheus),
            ("application/openmetrics-text;q=0", Prometheus),
            ("application/openmetrics-text;q=2", Prometheus),
            ("application/openmetrics-text;q=NaN", Prometheus),
            ("application/openmetrics-text;q=0.1, text/plain;q=0.2", Prometheus),
            ("application/openmetrics-text;q=0.2, */*;q=0.2", OpenMetrics),
            ("application/vnd.google.protobuf, application/openmetrics-text;q=0.5, */*;q=0.1", OpenMetrics),
        ] {
            assert_eq!(accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn prometheus_gets_open_metrics() {
        // As Prometheus 2.42 and 3.5 ask.
        for accept in [
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ] {
            assert_eq!(accepted(accept), Format::OpenMetrics);
        }
    }
}
