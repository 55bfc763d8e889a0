use std::{collections::HashMap, hash::BuildHasherDefault};

use equipoise_affinity::key::SessionKey;
use equipoise_tower::RequestHead;

use super::hash::TextHasher;

/// A part of a request by its kind and name, such as the header `x-tenant`, and the value that it must have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyed<'r> {
    pub(super) name: &'r (&'static str, String),
    pub(super) part: &'r SessionKey,
    pub(super) value: &'r [u8],
}

/// Routes with the same host and path. Those that need a value of a header, a cookie or a query parameter are found by
/// this value, so that thousands of them cost as much as one.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// The routes that are looked at one after the other. Each list of routes has the most specific first.
    others: Vec<usize>,
    parts: Vec<Part>,
}

/// A part of a request, and the routes for each of its values.
#[derive(Debug)]
struct Part {
    name: (&'static str, String),
    key: SessionKey,
    routes: HashMap<Box<[u8]>, Vec<usize>, BuildHasherDefault<TextHasher>>,
}

impl Candidates {
    /// Adds a route, which must be less specific than those before.
    pub(super) fn add(&mut self, route: usize, keyed: Option<Keyed<'_>>) {
        let Some(Keyed { name, part, value }) = keyed else { return self.others.push(route) };
        match self.parts.iter_mut().find(|known| known.name == *name) {
            Some(known) => known.routes.entry(value.into()).or_default().push(route),
            None => {
                let routes = std::iter::once((value.into(), vec![route])).collect();
                self.parts.push(Part { name: name.clone(), key: part.clone(), routes });
            }
        }
    }

    /// Returns the most specific route that `accept` accepts.
    pub(super) fn find(&self, head: RequestHead<'_>, accept: &impl Fn(usize) -> bool) -> Option<usize> {
        let first = |routes: &[usize]| routes.iter().copied().find(|route| accept(*route));
        let by_value = self.parts.iter().filter_map(|part| {
            let value = part.key.of(head).found()?;
            first(part.routes.get(&*value)?)
        });
        first(&self.others).into_iter().chain(by_value).min()
    }
}
