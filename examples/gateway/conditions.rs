//! The conditions of routes in one form, in which conditions that the same requests meet are equal.

use std::{borrow::Cow, collections::BTreeSet};

use percent_encoding::percent_decode_str;
use toml::Spanned;

use crate::config::RouteTable;

/// The conditions of a route. The default is none.
#[derive(Default, PartialEq, Eq, Hash)]
pub(crate) struct Conditions<'r> {
    host: Option<String>,
    path_prefix: Vec<Segment<'r>>,
    method: Option<&'r str>,
    headers: BTreeSet<(String, &'r str)>,
    cookies: BTreeSet<(&'r str, &'r str)>,
}

#[derive(PartialEq, Eq, Hash)]
enum Segment<'r> {
    Text(Cow<'r, [u8]>),
    /// `{name}`: the name makes no difference.
    Parameter,
}

impl<'r> Conditions<'r> {
    pub(crate) fn of(route: &'r RouteTable) -> Self {
        let RouteTable { host, path_prefix, method, header, cookie, .. } = route;
        let host = host.as_ref().map(Spanned::get_ref).filter(|host| *host != "*");
        Self {
            host: host.map(|host| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()),
            path_prefix: path_prefix.as_ref().map(|prefix| segments(prefix.get_ref())).unwrap_or_default(),
            method: method.as_ref().map(|method| method.get_ref().as_str()),
            headers: header.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.get_ref().as_str())).collect(),
            cookies: cookie.iter().map(|(name, value)| (name.as_str(), value.get_ref().as_str())).collect(),
        }
    }
}

/// Returns the segments of a prefix, as the table of routes reads it: without encodings, empty segments and dots.
fn segments(prefix: &str) -> Vec<Segment<'_>> {
    let mut segments = Vec::new();
    for segment in prefix.split('/') {
        match Cow::from(percent_decode_str(segment)) {
            text if matches!(&*text, b"" | b".") => {}
            text if &*text == b".." => drop(segments.pop()),
            _ if segment.starts_with('{') => segments.push(Segment::Parameter),
            text => segments.push(Segment::Text(text)),
        }
    }
    segments
}
