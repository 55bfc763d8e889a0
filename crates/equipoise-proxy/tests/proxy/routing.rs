use std::sync::Arc;

use equipoise_affinity::{
    key::SessionKey,
    source::{PeerAddr, ProxiedAddr},
};
use equipoise_proxy::{
    ProxyBody, ReverseProxy, ReverseProxyLayer,
    headers::{ConnectionInfo, ForwardingFields, HostRule, ReportedField},
    route::{InvalidRoute, MatchedRoute, Mirror, Redirect, Route, RouteBody, RouteNote, Router, Routes, Split},
};
use equipoise_tower::{BoxError, RequestHead};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};

use crate::{Body, failure, full, get};

type Routed = Request<RouteBody<equipoise_proxy::RequestBody<Body>>>;
type Service = BoxCloneSyncService<Routed, Response<Body>, BoxError>;

/// A service that answers with its name, the host and the path.
fn named(name: &'static str) -> Service {
    BoxCloneSyncService::new(service_fn(move |request: Routed| async move {
        let host = request.headers()["host"].to_str()?.to_owned();
        let text = format!("{name} {host} {}", request.uri());
        Ok(Response::new(full(text.leak())))
    }))
}

async fn send(router: &Router<Service>, request: Request<Body>) -> Response<ProxyBody<ProxyBody<Body>>> {
    ReverseProxy::new(router.clone()).oneshot(request).await.unwrap_or_else(|never| match never {})
}

async fn text(router: &Router<Service>, request: http::request::Builder) -> String {
    let response = send(router, request.body(full("")).expect("a request")).await;
    let status = response.status();
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    if status == StatusCode::OK { String::from_utf8(bytes.to_vec()).expect("text") } else { status.to_string() }
}

fn router<const N: usize>(routes: [Route<Service>; N]) -> Router<Service> {
    Router::new(Routes::new(routes).expect("valid routes"))
}

#[tokio::test]
async fn options_for_the_server_go_to_routes_for_any_path_as_they_are() {
    let any = || Route::to("any", named("any")).path_prefix("/").rewrite_prefix("/v2");
    let router =
        router([any(), Route::to("one", named("one")).path("/{name}"), Route::to("text", named("text")).path("/*")]);
    let options = |uri: &str| Request::options(uri).header("host", "app.test");
    assert_eq!(text(&router, options("*")).await, "any app.test *");
    assert_eq!(text(&router, options("/*")).await, "text app.test /*");
    let other = Router::new(Routes::new([Route::to("one", named("one")).path("/{name}")]).expect("a valid route"));
    let response = send(&other, options("*").body(full("")).expect("a request")).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (404, Some("no_route")));
}

#[tokio::test]
async fn requests_without_a_route_get_421_or_404() {
    let router = router([Route::to("web", named("web")).host("app.test").path_prefix("/web")]);
    let request = |host: &str, path: &str| Request::get(path).header("host", host).body(full("")).expect("a request");
    let response = send(&router, request("app.test", "/web/x")).await;
    assert_eq!(response.extensions().get(), Some(&MatchedRoute("web".into())));
    let response = send(&router, request("app.test", "/x")).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (404, Some("no_route")));
    let response = send(&router, request("other.test", "/web")).await;
    assert_eq!((response.status().as_u16(), failure(&response)), (421, Some("no_host")));
}

#[tokio::test]
async fn dots_and_encodings_do_not_pass_by_a_route() {
    let routes = || [Route::to("web", named("web")), Route::to("admin", named("admin")).path_prefix("/admin")];
    let router = router(routes());
    for path in ["/admin", "/public/../admin/x", "/public/%2e%2e/admin", "//admin", "/%61dmin", "/./admin"] {
        assert_eq!(text(&router, get(path)).await, format!("admin app.test {path}"), "{path}");
    }
    let allowed = Router::new(Routes::with_ambiguous_paths(routes()).expect("valid routes"));
    let any = Router::new(Routes::new([Route::to("web", named("web"))]).expect("valid routes"));
    for path in ["/admin%2Fx", "/public/..;/admin", "/public/..%5cadmin"] {
        let response = send(&router, get(path).body(full("")).expect("a request")).await;
        assert_eq!((response.status().as_u16(), failure(&response)), (400, Some("ambiguous_path")), "{path}");
        assert_eq!(text(&allowed, get(path)).await, format!("web app.test {path}"));
        // No route has a path that could be passed by.
        assert_eq!(text(&any, get(path)).await, format!("web app.test {path}"));
    }
}

#[tokio::test]
async fn paths_are_ambiguous_only_for_hosts_whose_routes_depend_on_them() {
    let router = router([
        Route::to("api", named("api")).host("api.test"),
        Route::to("post", named("post")).host("post.test").method(Method::POST),
        Route::to("admin", named("admin")).path_prefix("/admin"),
        Route::to("sub", named("sub")).host("*.sub.test"),
        Route::to("other", named("other")).host("*.test"),
        Route::to("new", named("new")).host("new.test").path_prefix("/").rewrite_prefix("/v2"),
    ]);
    let sent = async |host: &str| text(&router, Request::get("/a%2Fb").header("host", host)).await;
    assert_eq!(sent("api.test").await, "api api.test /a%2Fb");
    assert_eq!(sent("x.sub.test").await, "sub x.sub.test /a%2Fb");
    assert_eq!(sent("x.test").await, "other x.test /a%2Fb");
    // The route `other` takes all that the route for POST does not want.
    assert_eq!(sent("post.test").await, "other post.test /a%2Fb");
    for host in ["example.org", "new.test"] {
        assert_eq!(sent(host).await, "400 Bad Request", "{host}");
    }
}

#[tokio::test]
async fn path_parameters_do_not_pass_by_a_route() {
    let routes = || {
        [
            Route::to("web", named("web")),
            Route::to("admin", named("admin")).path_prefix("/admin"),
            Route::to("user", named("user")).path("/users/{id}"),
        ]
    };
    let router = router(routes());
    let allowed = Router::new(Routes::with_ambiguous_paths(routes()).expect("valid routes"));
    for path in ["/admin;x", "/admin;x/y", "/admin%3Bx", "/users;v=1/7", "/users/7/;x"] {
        let response = send(&router, get(path).body(full("")).expect("a request")).await;
        assert_eq!((response.status().as_u16(), failure(&response)), (400, Some("ambiguous_path")), "{path}");
    }
    assert_eq!(text(&allowed, get("/admin;x")).await, "web app.test /admin;x");
    for (path, route) in [("/users/7;v=1", "user"), ("/admin/a;b/c", "admin"), ("/a;b", "web")] {
        assert_eq!(text(&router, get(path)).await, format!("{route} app.test {path}"), "{path}");
    }
}

#[tokio::test]
async fn a_table_is_exchanged_as_a_whole() {
    let router = router([Route::to("old", named("old"))]);
    let clone = router.clone();
    assert_eq!(text(&clone, get("/")).await, "old app.test /");
    router.replace(Routes::new([Route::to("new", named("new"))]).expect("valid routes"));
    assert_eq!(text(&clone, get("/")).await, "new app.test /");
    assert_eq!(router.routes().len(), 1);
}

#[tokio::test]
async fn prefixes_and_hosts_are_rewritten() {
    let host = HostRule::set("internal:8080").expect("a host");
    let router = router([Route::to("api", named("api")).path_prefix("/api").rewrite_prefix("/v2").rewrite_host(host)]);
    assert_eq!(text(&router, get("/api/a%20b?c=d")).await, "api internal:8080 /v2/a%20b?c=d");
    assert_eq!(text(&router, get("/api")).await, "api internal:8080 /v2");
    assert_eq!(text(&router, get("/api/%2e%2e/api/x")).await, "api internal:8080 /v2/x");
}

#[tokio::test]
async fn routes_are_found_by_the_host_that_the_client_asked_for() {
    let router = router([
        Route::to("a", named("a")).host("a.test"),
        Route::to("b", named("b")).host("b.test").rewrite_host(HostRule::set("b.internal").expect("a host")),
        Route::redirect("https", Redirect::permanent().scheme("https")).host("c.test"),
    ]);
    let proxy = ReverseProxyLayer::new().host(HostRule::set("internal").expect("a host")).layer(router);
    let sent = async |host| {
        let request = Request::get("/").header("host", host).body(full("")).expect("a request");
        proxy.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
    };
    for (host, expected) in [("a.test", "a internal /"), ("b.test", "b b.internal /")] {
        let body = sent(host).await.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(body, expected);
    }
    assert_eq!(sent("c.test").await.headers()["location"], "https://c.test/");
    assert_eq!(sent("internal").await.status(), 421);
}

#[tokio::test]
async fn redirects_keep_what_they_do_not_set() {
    let router = router([
        Route::redirect("https", Redirect::permanent().scheme("https")).host("a.test"),
        Route::redirect("moved", Redirect::temporary().prefix("/new")).path_prefix("/old"),
        Route::redirect("host", Redirect::temporary().host("new.test:81").path("/x").status(StatusCode::FOUND))
            .path("/h"),
        Route::redirect("see", Redirect::temporary().prefix("/")).path_prefix("/see"),
        Route::redirect("same", Redirect::temporary()).host("c.test"),
        Route::redirect("tls", Redirect::temporary().host("d.test:81")).host("d.test"),
    ]);
    for (host, path, tls, status, location) in [
        ("a.test:8080", "/p?q=1", false, 308, "https://a.test/p?q=1"),
        ("b.test:8080", "/old/p?q=1", false, 307, "/new/p?q=1"),
        ("b.test", "/old", true, 307, "/new"),
        ("b.test", "/h?q", false, 302, "http://new.test:81/x?q"),
        ("b.test", "//old//evil.test", false, 307, "/new/evil.test"),
        // A path does not become a host.
        ("b.test", "/see//evil.test", false, 307, "/evil.test"),
        ("c.test", "//evil.test/x", false, 307, "/evil.test/x"),
        ("d.test", "/p", true, 307, "https://d.test:81/p"),
    ] {
        let mut request = Request::get(path).header("host", host).body(full("")).expect("a request");
        request.extensions_mut().insert(ConnectionInfo::new().tls(tls));
        let response = send(&router, request).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["location"], location);
    }
}

#[tokio::test]
async fn redirects_keep_the_scheme_that_a_trusted_proxy_reports() {
    let router = router([Route::redirect("host", Redirect::temporary().host("new.test"))]);
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks"));
    let written = fields.clone().written_by_proxies([ReportedField::XForwardedFor, ReportedField::XForwardedProto]);
    for (fields, peer, reported, scheme) in [
        (&written, "10.0.0.1:1", "https", "https"),
        (&written, "10.0.0.1:1", "gopher", "http"),
        (&written, "203.0.113.9:1", "https", "http"),
        (&fields, "10.0.0.1:1", "https", "http"),
    ] {
        let mut request = get("/p").header("x-forwarded-proto", reported).body(full("")).expect("a request");
        request.extensions_mut().insert(PeerAddr(peer.parse().expect("an address")));
        let proxy = ReverseProxyLayer::new().forwarding(fields.clone()).layer(router.clone());
        let response = proxy.oneshot(request).await.unwrap_or_else(|never| match never {});
        assert_eq!(response.headers()["location"], format!("{scheme}://new.test/p"), "{peer} {reported}");
    }
}

#[tokio::test]
async fn the_location_for_the_server_as_a_whole_has_no_path() {
    for (redirect, location) in [
        (Redirect::permanent().scheme("https"), "https://app.test"),
        (Redirect::permanent().scheme("https").prefix("/new"), "https://app.test"),
        (Redirect::permanent().path("/new"), "/new"),
        (Redirect::permanent(), "http://app.test"),
    ] {
        let router = router([Route::redirect("moved", redirect)]);
        let request = Request::options("*").header("host", "app.test").body(full("")).expect("a request");
        assert_eq!(send(&router, request).await.headers()["location"], location);
    }
}

#[tokio::test]
async fn a_canary_gets_its_share_of_clients() {
    let split = Split::new([(named("canary"), 1), (named("stable"), 1)]).expect("weights");
    let router = router([Route::split("web", split.sticky(SessionKey::header("x-user").expect("a name")))]);
    let mut canary = 0;
    for user in 0..64 {
        let request = || get("/").header("x-user", user.to_string());
        let first = text(&router, request()).await;
        assert_eq!(text(&router, request()).await, first);
        canary += usize::from(first.starts_with("canary"));
    }
    // The keys are fixed, so the share is the same each time.
    assert!((16..48).contains(&canary), "{canary}");
}

#[tokio::test]
async fn a_mirror_reads_the_body_with_the_first_service() {
    let (copies, mut received) = mpsc::unbounded_channel();
    let mirror: Service = BoxCloneSyncService::new(service_fn(move |request: Routed| {
        let copies = copies.clone();
        async move {
            let extensions = request.extensions();
            let client = (extensions.get().copied(), extensions.get().cloned());
            let body = request.into_body().collect().await?.to_bytes();
            let _ = copies.send((body, client));
            Ok(Response::new(full("ignored")))
        }
    }));
    let web: Service = BoxCloneSyncService::new(service_fn(|request: Routed| async {
        request.into_body().collect().await?;
        Ok(Response::new(full("web")))
    }));
    let router = router([Route::to("web", web).mirror(Mirror::to(mirror))]);
    let source = ProxiedAddr("203.0.113.9:4711".parse().expect("an address"));
    let info = ConnectionInfo::new().tls(true);
    let request = get("/").method(Method::POST).extension(source).extension(info.clone()).body(full("body"));
    assert_eq!(send(&router, request.expect("a request")).await.status(), 200);
    let (body, client) = received.recv().await.expect("a copy");
    assert_eq!(body, "body");
    assert_eq!(client, (Some(source), Some(info)));
}

#[tokio::test]
async fn copies_beyond_the_limit_are_not_made() {
    let seen = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&seen);
    let mirror: Service = BoxCloneSyncService::new(service_fn(move |_: Routed| {
        *counter.lock() += 1;
        std::future::pending()
    }));
    let mirror = Mirror::to(mirror).max_in_flight(2);
    let router = router([Route::to("web", named("web")).mirror(mirror.clone())]);
    for _ in 0..5 {
        assert_eq!(text(&router, get("/")).await, "web app.test /");
        tokio::task::yield_now().await;
    }
    assert_eq!((*seen.lock(), mirror.in_flight()), (2, 2));
    // A clone in another table counts them too.
    let clone = mirror.clone().max_in_flight(3);
    router.replace(Routes::new([Route::to("web", named("web")).mirror(clone)]).expect("valid routes"));
    for _ in 0..5 {
        assert_eq!(text(&router, get("/")).await, "web app.test /");
        tokio::task::yield_now().await;
    }
    assert_eq!((*seen.lock(), mirror.in_flight()), (3, 3));
}

#[tokio::test]
async fn queries_are_compared_as_servers_read_them() {
    let router = router([
        Route::to("web", named("web")),
        Route::to("admin", named("admin")).query("admin", "a b"),
        Route::to("debug", named("debug")).has_query("debug"),
    ]);
    for (path, route) in [
        ("/?admin=a%20b", "admin"),
        ("/?%61dmin=%61+b", "admin"),
        ("/?admin=a", "web"),
        ("/?debu%67=1", "debug"),
        ("/?debug=", "web"),
    ] {
        assert_eq!(text(&router, get(path)).await, format!("{route} app.test {path}"));
    }
}

#[tokio::test]
async fn ambiguous_paths_have_routes_if_they_are_allowed() {
    let routes = [
        Route::to("web", named("web")),
        Route::to("matrix", named("matrix")).path("/matrix;v=1"),
        Route::to("slash", named("slash")).path("/a%2Fb"),
    ];
    let router = Router::new(Routes::with_ambiguous_paths(routes).expect("valid routes"));
    for (path, route) in [("/matrix;v=1", "matrix"), ("/matrix", "web"), ("/a%2fb", "slash"), ("/a/b", "web")] {
        assert_eq!(text(&router, get(path)).await, format!("{route} app.test {path}"));
    }
}

#[test]
fn invalid_routes_are_refused_with_what_would_be_right() {
    let refused = |route: Route<()>| Routes::new([route]).map(drop).map_err(|error: InvalidRoute| error.to_string());
    let web = || Route::to("web", ());
    for (route, message) in [
        (
            web().host("app.test:80"),
            "route \"web\": host \"app.test:80\": a host is a name or an address without a port, or *. and a name, such \
             as *.app.test",
        ),
        (web().path("api"), "route \"web\": path \"api\": a path begins with a slash, such as /api"),
        (
            web().path_prefix("/{id}x"),
            "route \"web\": path_prefix \"/{id}x\": a parameter is a whole segment, such as /users/{id}",
        ),
        (
            web().header("a b", "1"),
            "route \"web\": header \"a b\": use a name that requests can have, such as x-version",
        ),
        (
            web().path("/matrix;v=1"),
            "route \"web\": path \"matrix;v=1\": requests with %2F, a backslash or a semicolon here are refused, \
             because servers read them differently; use a path without them",
        ),
        (
            web().path_prefix("/a%2fb"),
            "route \"web\": path \"a%2Fb\": requests with %2F, a backslash or a semicolon here are refused, \
             because servers read them differently; use a path without them",
        ),
        (web().path("/a%00"), "route \"web\": path \"/a%00\": a path has no NUL"),
        (
            web().method(Method::from_bytes(b"get").expect("a method")),
            "route \"web\": method \"get\": write a method in upper case, such as GET",
        ),
        (
            web().header("X_Beta", "1"),
            "route \"web\": header \"x_beta\": use letters, digits and -, because the proxy removes fields with other names",
        ),
        (
            web().header("x-beta", "1 "),
            "route \"web\": header \"1 \": the value of a header has no control characters and no spaces around it",
        ),
        (
            web().cookie("c", ""),
            "route \"web\": cookie \"\": an empty value counts as missing, so no request has it; use another value",
        ),
        (web().query("", "1"), "route \"web\": query \"\": use a name that requests can have, such as x-version"),
        (
            web().path("/a").rewrite_prefix("/b"),
            "route \"web\": rewrite_prefix \"\": a new prefix needs a route with path_prefix",
        ),
        (
            web().rewrite_prefix("b"),
            "route \"web\": rewrite_prefix \"b\": a new path begins with a slash and has no query, such as /v2",
        ),
        (
            Route::redirect("web", Redirect::permanent().scheme("ftp")),
            "route \"web\": redirect \"\": the scheme of a redirect is http or https",
        ),
        (
            Route::redirect("web", Redirect::permanent().status(StatusCode::OK)),
            "route \"web\": redirect \"\": the status of a redirect is 301, 302, 303, 307 or 308",
        ),
    ] {
        assert_eq!(refused(route), Err(message.to_owned()));
    }
    assert_eq!(refused(web()), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_request_with_a_note_names_its_route() {
    let fails = BoxCloneSyncService::new(service_fn(async |_: Routed| Err(BoxError::from("broken"))));
    let hangs = BoxCloneSyncService::new(service_fn(|_: Routed| std::future::pending()));
    let router = router([
        Route::to("fails", fails).path_prefix("/fails"),
        Route::to("hangs", hangs).path_prefix("/hangs"),
        Route::to("nested", named("nested")).path("/nested"),
    ]);
    for (path, status, route) in [
        ("/fails", 502, Some("fails")),
        ("/hangs", 504, Some("hangs")),
        ("/nested", 200, Some("nested")),
        ("/", 404, None),
    ] {
        let mut request = get(path).body(full("")).expect("a request");
        let note = RouteNote::new();
        request.extensions_mut().insert(note.clone());
        let response = send(&router, request).await;
        let matched = response.extensions().get().map(|MatchedRoute(name)| &**name);
        assert_eq!((response.status().as_u16(), matched, note.name()), (status, route, route), "{path}");
    }
    let response = send(&router, get("/fails").body(full("")).expect("a request")).await;
    assert_eq!(response.extensions().get::<MatchedRoute>(), None);
}

#[test]
fn the_table_tells_the_service_of_a_route() {
    let split = Split::new([("none", 0), ("all", 1)]).expect("a weight");
    let routes = Routes::new([
        Route::split("split", split),
        Route::redirect("away", Redirect::temporary().host("other.test")).path("/away"),
    ]);
    let routes = routes.expect("valid routes");
    let service = |path: &str| {
        let request = Request::get(path).body(()).expect("a request");
        let head = RequestHead::of(&request);
        routes.find(head).expect("a route").service(head).copied()
    };
    assert_eq!((service("/"), service("/away")), (Some("all"), None));
}
