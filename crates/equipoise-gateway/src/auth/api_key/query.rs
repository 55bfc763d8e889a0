use std::borrow::Cow;

use http::{Uri, uri::PathAndQuery};
use percent_encoding::percent_decode_str;

/// Returns the values of a parameter, decoded. A parameter without `=` has an empty one.
pub(super) fn values<'q>(query: &'q str, name: &'q str) -> impl Iterator<Item = Cow<'q, [u8]>> {
    let values = query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
    values.filter(move |(found, _)| is_named(found, name)).map(|(_, value)| percent_decode_str(value).into())
}

/// Removes all values of a parameter. The other parameters stay as they are.
pub(super) fn remove(uri: &mut Uri, name: &str) {
    let is_removed = |part: &&str| is_named(part.split_once('=').map_or(*part, |(found, _)| found), name);
    let Some(query) = uri.query().filter(|query| query.split('&').any(|part| is_removed(&part))) else { return };
    let kept: Vec<&str> = query.split('&').filter(|part| !is_removed(part)).collect();
    let path = uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) };
    let mut parts = std::mem::take(uri).into_parts();
    // Parts of a valid query are one. If they were not, the whole query is better lost than the key sent.
    parts.path_and_query = Some(PathAndQuery::try_from(target).unwrap_or(PathAndQuery::from_static("/")));
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

fn is_named(encoded: &str, name: &str) -> bool {
    percent_decode_str(encoded).eq(name.bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn after_the_removal_there_is_no_value(query in "[ak&=%61b;]{0,24}") {
            let mut uri: Uri = format!("/p?{query}").parse().expect("a URI");
            let others = |query: &str| {
                query.split('&').filter(|part| !is_named(part.split('=').next().unwrap_or(""), "a")).count()
            };
            let before = uri.query().map_or(0, others);
            remove(&mut uri, "a");
            prop_assert_eq!(values(uri.query().unwrap_or("b"), "a").count(), 0);
            prop_assert_eq!(uri.query().map_or(0, others), before);
        }
    }
}
