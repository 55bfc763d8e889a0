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
    /// The value of the header `x`.
    header: Option<&'static str>,
    /// The value of the cookie `c`. The empty text stands for any value.
    cookie: Option<&'static str>,
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
        if let Some(value) = self.header {
            route = route.header(if self.method { "x" } else { "X" }, value);
        }
        match self.cookie {
            Some("") => route.has_cookie("c"),
            Some(value) => route.cookie("c", value),
            None => route,
        }
    }

    fn is_met(&self, header: Option<&str>, cookie: Option<&str>) -> bool {
        (self.header.is_none() || self.header == header)
            && match self.cookie {
                Some("") => cookie.is_some(),
                Some(value) => cookie == Some(value),
                None => true,
            }
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
    let header = prop_oneof![Just(None), Just(Some("1")), Just(Some("2"))];
    let cookie = prop_oneof![Just(None), Just(Some("")), Just(Some("1")), Just(Some("2"))];
    (host, segments, any::<bool>(), any::<bool>(), header, cookie).prop_map(
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
        post: bool,
        header in prop_oneof![Just(None), Just(Some("1")), Just(Some("2")), Just(Some("3"))],
        cookie in prop_oneof![Just(None), Just(Some("1")), Just(Some("2")), Just(Some("3"))],
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
        if let Some(value) = header {
            request = request.header("x", value);
        }
        if let Some(value) = cookie {
            request = request.header("cookie", format!("c={value}"));
        }
        let request = request.body(()).expect("a request");

        let has_host = specs.iter().any(|spec| spec.host_rank(host).is_some());
        let expected = specs
            .iter()
            .enumerate()
            .filter(|(_, spec)| (!spec.method || post) && spec.is_met(header, cookie))
            .filter_map(|(index, spec)| {
                let conditions = usize::from(spec.header.is_some()) + usize::from(spec.cookie.is_some());
                Some((spec.host_rank(host)?, spec.path_rank(&path)?, !spec.method, 9 - conditions, index))
            })
            .min()
            .map(|(.., index)| index.to_string());
        let found = routes.find(RequestHead::of(&request)).map(|found| found.name().to_owned());
        prop_assert_eq!(found, expected.ok_or(if has_host { Missed::Route } else { Missed::Host }));
    }
}
