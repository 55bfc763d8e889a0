//! The conditions of routes in one form, in which conditions that the same requests meet are equal.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
};

use percent_encoding::percent_decode_str;
use toml::Spanned;

use crate::config::{HttpListener, RouteTable};

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

/// Writes the conditions in one line, such as `api.test/v1 GET x-beta=1`. Without conditions, it is `/`.
impl fmt::Display for Conditions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_deref().unwrap_or_default())?;
        if self.path_prefix.is_empty() {
            f.write_str("/")?;
        }
        for segment in &self.path_prefix {
            match segment {
                Segment::Text(text) => write!(f, "/{}", text.escape_ascii())?,
                Segment::Parameter => f.write_str("/{}")?,
            }
        }
        self.method.iter().try_for_each(|method| write!(f, " {method}"))?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, " {name}={value:?}"))?;
        self.cookies.iter().try_for_each(|(name, value)| write!(f, " cookie {name:?}={value:?}"))
    }
}

/// Routes with the same conditions, and the conditions.
pub(crate) type Group<'l> = (Conditions<'l>, Vec<&'l Spanned<RouteTable>>);

/// Returns the routes with the same conditions, in the order of the file.
pub(crate) fn groups(listener: &HttpListener) -> Vec<Group<'_>> {
    // The index is the place of the group.
    let (mut groups, mut known) = (Vec::<Group<'_>>::new(), HashMap::new());
    for route in &listener.route {
        let at = *known.entry(Conditions::of(route.get_ref())).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((_, group)) => group.push(route),
            None => groups.push((Conditions::of(route.get_ref()), vec![route])),
        }
    }
    groups
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
