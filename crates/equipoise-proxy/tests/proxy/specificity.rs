//! A table of routes finds the same route as a program that looks at all of them.

use equipoise_proxy::route::{Missed, Route, Routes};
use equipoise_tower::RequestHead;
use http::{Method, Request};
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Spec {
    host: Option<&'static str>,
    segments: Vec<&'static str>,
    is_prefix: bool,
    method: bool,
    header: bool,
    cookie: bool,
}

impl Spec {
    fn route(&self, index: usize) -> Route<usize> {
        let path = format!("/{}", self.segments.join("/"));
        let mut route = Route::to(index.to_string(), index);
        route = if self.is_prefix { route.path_prefix(path) } else { route.path(path) };
        if let Some(host) = self.host {
            route = route.host(host);
        }
        if self.method {
            route = route.method(Method::POST);
        }
        if self.header {
            route = route.header("x", "1");
        }
        if self.cookie {
            route = route.has_cookie("c");
        }
        route
    }

    /// How specific the host is: smaller is more specific. `None` if the request has another host.
    fn host_rank(&self, host: &str) -> Option<usize> {
        match self.host {
            None => Some(9),
            Some(pattern) => match pattern.strip_prefix("*.") {
                Some(parent) => host.ends_with(&format!(".{parent}")).then(|| 8 - parent.split('.').count()),
                None => (pattern == host).then_some(0),
            },
        }
    }

    /// How specific the path is: for each segment 0 for a text and 1 for a parameter, and 2 for the end of a prefix.
    fn path_rank(&self, path: &[&str]) -> Option<Vec<usize>> {
        let segments = if self.is_prefix && self.segments == [""] { &[][..] } else { &self.segments };
        let mut rank = Vec::new();
        for (at, segment) in segments.iter().enumerate() {
            let found = path.get(at)?;
            match *segment {
                "{p}" if !found.is_empty() => rank.push(1),
                text if text == *found => rank.push(0),
                _ => return None,
            }
        }
        if self.is_prefix {
            rank.push(2);
        } else if path.len() != segments.len() {
            return None;
        }
        Some(rank)
    }
}

fn spec() -> impl Strategy<Value = Spec> {
    let host = prop_oneof![Just(None), Just(Some("a")), Just(Some("b.a")), Just(Some("*.a")), Just(Some("*.b.a"))];
    let segments =
        prop_oneof![Just(vec![""]), proptest::collection::vec(prop_oneof![Just("x"), Just("y"), Just("{p}")], 1..4),];
    (host, segments, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(host, segments, is_prefix, method, header, cookie)| Spec {
            host,
            segments,
            is_prefix,
            method,
            header,
            cookie,
        },
    )
}

proptest! {
    #[test]
    fn the_most_specific_route_is_found(
        specs in proptest::collection::vec(spec(), 0..12),
        host in prop_oneof![Just("a"), Just("b.a"), Just("c.b.a"), Just("d")],
        path in proptest::collection::vec(prop_oneof![Just("x"), Just("y"), Just("z"), Just("")], 1..5),
        post: bool, header: bool, cookie: bool,
    ) {
        // Repeated slashes are one, so empty segments are only at the end.
        let is_folder = path.last() == Some(&"");
        let mut path: Vec<_> = path.into_iter().filter(|segment| !segment.is_empty()).collect();
        if is_folder || path.is_empty() {
            path.push("");
        }
        let routes = Routes::new(specs.iter().enumerate().map(|(index, spec)| spec.route(index))).expect("valid routes");
        let mut request = Request::get(format!("/{}", path.join("/"))).header("host", host);
        if post {
            request = request.method(Method::POST);
        }
        if header {
            request = request.header("x", "1");
        }
        if cookie {
            request = request.header("cookie", "c=1");
        }
        let request = request.body(()).expect("a request");

        let has_host = specs.iter().any(|spec| spec.host_rank(host).is_some());
        let expected = specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| (!spec.method || post) && (!spec.header || header) && (!spec.cookie || cookie))
            .filter_map(|(index, spec)| {
                let conditions = usize::from(spec.header) + usize::from(spec.cookie);
                Some((spec.host_rank(host)?, spec.path_rank(&path)?, !spec.method, 9 - conditions, index))
            })
            .min()
            .map(|(.., index)| index.to_string());
        let found = routes.find(RequestHead::of(&request)).map(|found| found.name().to_owned());
        prop_assert_eq!(found, expected.ok_or(if has_host { Missed::Route } else { Missed::Host }));
    }
}
