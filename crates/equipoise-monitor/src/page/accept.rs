use http::{HeaderMap, header};

/// Returns the index of the media type that the client prefers. If it prefers several equally, the first of them is
/// chosen. `None` if it accepts none of them. Without the header `Accept`, it is 0.
pub(super) fn preferred(headers: &HeaderMap, types: &[&str]) -> Option<usize> {
    if !headers.contains_key(header::ACCEPT) {
        return Some(0);
    }
    let quality = |media_type: &str| {
        let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
        let ranges = ranges.flat_map(|line| line.split(','));
        // The most specific range decides (RFC 9110, section 12.5.1).
        let best = ranges.filter_map(|range| matched(range, media_type)).max_by_key(|(specificity, _)| *specificity);
        best.map_or(0.0, |(_, quality)| quality)
    };
    let mut best = None;
    for (index, media_type) in types.iter().enumerate() {
        let quality = quality(media_type);
        if quality > best.map_or(0.0, |(_, best)| best) {
            best = Some((index, quality));
        }
    }
    best.map(|(index, _)| index)
}

/// Returns how specific a media range is, and its quality, if it contains the media type.
fn matched(range: &str, media_type: &str) -> Option<(u8, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next()?;
    let whole_type = media_type.split('/').next()?;
    let specificity = match range.split_once('/')? {
        ("*", "*") => 0,
        (range, "*") if range.eq_ignore_ascii_case(whole_type) => 1,
        _ if range.eq_ignore_ascii_case(media_type) => 2,
        _ => return None,
    };
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    let quality = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
    Some((specificity, quality))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_most_specific_range_decides_and_the_first_type_wins_ties() {
        for (accept, chosen) in [
            ("*/*", Some(0)),
            ("application/json", Some(1)),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(0)),
            ("text/*;q=0.5, application/json", Some(1)),
            ("text/html;q=0, */*", Some(1)),
            ("Application/JSON; q=0.2, text/html;q=0.1", Some(1)),
            ("image/png", None),
            ("application/json;q=0", None),
            ("application/json;q=x", None),
            ("", None),
            (";,/;q", None),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(preferred(&headers, &["text/html", "application/json"]), chosen, "{accept}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &["text/html"]), Some(0));
    }
}
