//! Any table of routes and any path: a lookup does not panic, and what a server would act on decides.

#![no_main]

use arbitrary::Arbitrary;
use equipoise_proxy::route::{Missed, Route, Routes};
use equipoise_tower::RequestHead;
use http::{Request, Uri};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    routes: Vec<(bool, &'a str, Option<&'a str>)>,
    host: &'a [u8],
    path: &'a [u8],
}

/// Returns the number of the route.
fn find(routes: &Routes<usize>, host: &[u8], path: &[u8]) -> Option<Result<String, Missed>> {
    let uri = Uri::try_from(path).ok()?;
    let request = Request::get(uri).header("host", host).body(()).ok()?;
    Some(routes.find(RequestHead::of(&request)).map(|found| found.name().to_owned()))
}

fuzz_target!(|input: Input<'_>| {
    let routes = input.routes.iter().take(16).enumerate().map(|(index, (is_prefix, path, host))| {
        let route = Route::to(index.to_string(), index);
        let route = if *is_prefix { route.path_prefix(path) } else { route.path(path) };
        match host {
            Some(host) => route.host(host),
            None => route,
        }
    });
    let Ok(routes) = Routes::new(routes) else { return };
    let Some(found) = find(&routes, input.host, input.path) else { return };
    if found == Err(Missed::AmbiguousPath) || !input.path.starts_with(b"/") {
        return;
    }
    // The same resource, written in another way.
    let (path, query) = match input.path.iter().position(|byte| matches!(byte, b'?' | b'#')) {
        Some(end) => input.path.split_at(end),
        None => (input.path, &b""[..]),
    };
    for prefix in [&b"/."[..], b"/x/..", b"/", b"/%2e/%2E%2e"] {
        let other = [prefix, path, query].concat();
        if let Some(other) = find(&routes, input.host, &other) {
            assert_eq!(found, other, "{:?}", String::from_utf8_lossy(prefix));
        }
    }
});
