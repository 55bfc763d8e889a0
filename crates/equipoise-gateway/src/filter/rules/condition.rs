use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use equipoise_proxy::__private::{asked_for, host_of};
use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderName, Method};
use percent_encoding::percent_decode;

use crate::filter::{address::AddressRanges, pattern::PathPattern};

/// A condition of a rule. All conditions of a rule must be met.
#[derive(Clone)]
pub(super) enum Condition {
    Methods { any_of: Vec<Method>, is_met_by_others: bool },
    Hosts(Vec<HostPattern>),
    Paths(Vec<PathPattern>),
    Field { name: HeaderName, test: Test },
    NoField(HeaderName),
    Query { name: Box<[u8]>, test: Test },
    Addresses { ranges: AddressRanges, is_met_by_others: bool },
    UriLonger(usize),
    MoreFields(usize),
    FieldsLonger(usize),
    BodyLonger(u64),
    When(Arc<WhenFn>),
}

pub(super) type WhenFn = dyn Fn(RequestHead<'_>) -> bool + Send + Sync;

/// A host, or all hosts below it. In lower case, and without a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Exact(Box<str>),
    /// What a host ends with, such as `.app.test`.
    Below(Box<str>),
}

impl HostPattern {
    /// Parses `app.test` or `*.app.test`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, is_below) = text.strip_prefix("*.").map_or((text, false), |host| (host, true));
        if host_of(host.as_bytes()) != Some(host) || host.ends_with('.') {
            return None;
        }
        let host = host.to_ascii_lowercase();
        Some(if is_below { Self::Below(format!(".{host}").into()) } else { Self::Exact(host.into()) })
    }

    fn matches(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).as_bytes();
        match self {
            Self::Exact(expected) => expected.as_bytes().eq_ignore_ascii_case(host),
            Self::Below(end) => {
                let start = host.len().checked_sub(end.len()).filter(|start| *start > 0);
                start
                    .and_then(|start| host.get(start..))
                    .is_some_and(|found| found.eq_ignore_ascii_case(end.as_bytes()))
            }
        }
    }
}

/// What the value of a field or of a parameter must be.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Present,
    Equals(Box<[u8]>),
    StartsWith(Box<[u8]>),
    Contains(Box<str>),
}

impl Test {
    fn accepts(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Equals(expected) => **expected == *value,
            Self::StartsWith(start) => value.starts_with(start),
            Self::Contains(part) => contains(value, part),
        }
    }
}

/// Returns whether a value contains a part, in linear time. A value that is not UTF-8 is compared in the runs that are.
fn contains(value: &[u8], part: &str) -> bool {
    value.utf8_chunks().any(|chunk| chunk.valid().contains(part))
}

/// The client's address, which is determined once for all rules, and only if a rule asks for it.
pub(super) enum Client<'c> {
    Unread(&'c dyn Fn() -> Option<IpAddr>),
    Read(Option<IpAddr>),
}

impl Client<'_> {
    fn address(&mut self) -> Option<IpAddr> {
        if let Self::Unread(read) = self {
            *self = Self::Read(read());
        }
        match self {
            Self::Read(address) => *address,
            Self::Unread(_) => None,
        }
    }
}

/// Whether the conditions of a rule are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Yes,
    No,
    /// It depends on the client's address, which is not known.
    Unknown,
}

impl Condition {
    /// Returns whether a request meets the condition. `path` is the normalized path.
    pub(super) fn is_met(&self, head: RequestHead<'_>, path: &str, client: &mut Client<'_>) -> Met {
        let met = match self {
            Self::Methods { any_of, is_met_by_others } => any_of.contains(head.method) != *is_met_by_others,
            Self::Hosts(patterns) => {
                asked_for(head).is_some_and(|host| patterns.iter().any(|pattern| pattern.matches(host)))
            }
            Self::Paths(patterns) => patterns.iter().any(|pattern| pattern.matches_normalized(path)),
            Self::Field { name, test } => head.headers.get_all(name).iter().any(|value| test.accepts(value.as_bytes())),
            Self::NoField(name) => !head.headers.contains_key(name),
            Self::Query { name, test } => {
                head.uri.query().is_some_and(|query| parameters(query, name).any(|value| test.accepts(&value)))
            }
            Self::Addresses { ranges, is_met_by_others } => match client.address() {
                Some(address) => ranges.contains(address) != *is_met_by_others,
                None => return Met::Unknown,
            },
            Self::UriLonger(bytes) => head.uri.path_and_query().is_some_and(|target| target.as_str().len() > *bytes),
            Self::MoreFields(fields) => head.headers.len() > *fields,
            Self::FieldsLonger(bytes) => length(head.headers) > *bytes,
            Self::BodyLonger(bytes) => declared_length(head.headers).is_some_and(|length| length > *bytes),
            Self::When(is_met) => is_met(head),
        };
        if met { Met::Yes } else { Met::No }
    }

    /// Returns a number by which cheap conditions come first. Addresses are last, so that they are looked at only if
    /// they decide.
    pub(super) fn cost(&self) -> u8 {
        match self {
            Self::Methods { .. } => 0,
            Self::Paths(_) => 1,
            Self::Addresses { .. } => 4,
            Self::When(_) => 3,
            _ => 2,
        }
    }
}

/// Returns the length of all fields: names, values, and 4 bytes for each.
pub(super) fn length(headers: &HeaderMap) -> usize {
    headers.iter().fold(0, |sum, (name, value)| sum + name.as_str().len() + value.len() + 4)
}

/// Returns the length of the body as the field `Content-Length` declares it.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Returns the decoded values of all parameters of a name. A parameter without `=` has the empty value. All values are
/// looked at, because some servers read the first one and others the last one.
fn parameters<'q>(query: &'q str, name: &'q [u8]) -> impl Iterator<Item = Cow<'q, [u8]>> {
    query.as_bytes().split(|byte| *byte == b'&').filter_map(move |parameter| {
        let equals = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let found = decoded(parameter.get(..equals)?);
        (*found == *name).then(|| decoded(parameter.get(equals + 1..).unwrap_or_default()))
    })
}

/// Decodes percent-encodings, and `+`, which stands for a space in the queries of forms.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = |others: &bool| if *others { "not " } else { "" };
        match self {
            Self::Methods { any_of, is_met_by_others } => write!(f, "{}methods {any_of:?}", not(is_met_by_others)),
            Self::Hosts(patterns) => write!(f, "hosts {patterns:?}"),
            Self::Paths(patterns) => write!(f, "paths {patterns:?}"),
            Self::Field { name, .. } => write!(f, "field {name}"),
            Self::NoField(name) => write!(f, "no field {name}"),
            Self::Query { name, .. } => write!(f, "query {}", String::from_utf8_lossy(name)),
            Self::Addresses { ranges, is_met_by_others } => {
                write!(f, "{}addresses ({} ranges)", not(is_met_by_others), ranges.len())
            }
            Self::UriLonger(bytes) => write!(f, "uri > {bytes}"),
            Self::MoreFields(fields) => write!(f, "fields > {fields}"),
            Self::FieldsLonger(bytes) => write!(f, "bytes of fields > {bytes}"),
            Self::BodyLonger(bytes) => write!(f, "body > {bytes}"),
            Self::When(_) => f.write_str("closure"),
        }
    }
}
