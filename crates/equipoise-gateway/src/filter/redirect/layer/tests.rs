use http::{StatusCode, Uri};
use proptest::prelude::*;

use super::*;

fn location(rules: impl IntoIterator<Item = RedirectRule>, url: &str) -> Option<String> {
    let layer = RedirectLayer::new(rules).expect("rules");
    let uri: Uri = url.parse().expect("a URI");
    let host = uri.authority().expect("a host").as_str().to_owned();
    let request = Request::get(uri.path_and_query().expect("a path").as_str()).header("host", host).body(());
    let response: Response<ReplyBody<()>> = layer.respond(&request.expect("a request"))?;
    Some(response.headers()[LOCATION].to_str().expect("ASCII").to_owned())
}

#[test]
fn rules_lead_to_their_targets() {
    let exact = || RedirectRule::exact("/old", "/new");
    let prefix = || RedirectRule::prefix("/old", "/new/base");
    for (rule, url, expected) in [
        (exact(), "http://a/old?x=1", Some("/new?x=1")),
        (exact(), "http://a/%6fld", Some("/new")),
        (exact(), "http://a/old/x", None),
        (exact().drop_query(), "http://a/old?x=1", Some("/new")),
        (exact().query("from=old"), "http://a/old?x=1", Some("/new?from=old")),
        (exact().host("b"), "http://a/old", None),
        (exact().host("a"), "http://A:81/old", Some("/new")),
        (prefix(), "http://a/old/x%20y?z", Some("/new/base/x%20y?z")),
        (prefix(), "http://a/old", Some("/new/base")),
        (prefix(), "http://a/older", None),
        (RedirectRule::prefix("/old", "/"), "http://a/old//evil.test/x", Some("/evil.test/x")),
        (RedirectRule::prefix("/b", "https://blog.test/"), "http://a/b/x?y", Some("https://blog.test/x?y")),
        (RedirectRule::https(), "http://a:8080/x?y", Some("https://a/x?y")),
        (RedirectRule::https().except("/acme/**"), "http://a/acme/x", None),
        (RedirectRule::www_to_apex("a.test"), "http://www.a.test/x", Some("http://a.test/x")),
        (RedirectRule::www_to_apex("a.test"), "http://a.test/x", None),
        (RedirectRule::www_to_apex("a.test"), "http://www.b.test/x", None),
        (RedirectRule::apex_to_www("a.test"), "http://a.test/", Some("http://www.a.test/")),
        (RedirectRule::add_trailing_slash(), "http://a/x?y", Some("/x/?y")),
        (RedirectRule::add_trailing_slash(), "http://a/x.css", None),
        (RedirectRule::add_trailing_slash(), "http://a//evil.test/x", Some("/evil.test/x/")),
        (RedirectRule::remove_trailing_slash(), "http://a/x/?y", Some("/x?y")),
        (RedirectRule::remove_trailing_slash(), "http://a/", None),
        (RedirectRule::remove_trailing_slash(), "http://a//evil.test/", Some("/evil.test")),
        (RedirectRule::exact("/x", "http://a.test/x"), "http://A.test:80/x", None),
        (RedirectRule::exact("/x", "http://a.test/x"), "http://a.test/x?y", None),
        (RedirectRule::exact("/x", "http://a.test/x"), "http://a.test:8080/x", Some("http://a.test/x")),
        (RedirectRule::exact("/x", "http://a.test/x"), "http://b.test/x", Some("http://a.test/x")),
        (RedirectRule::exact("/x", "https://a.test/x"), "http://a.test/x", Some("https://a.test/x")),
        (RedirectRule::exact("/a/**", "/b\"c"), "http://a/a", Some("/b%22c")),
    ] {
        assert_eq!(location([rule.clone()], url).as_deref(), expected, "{rule:?} {url}");
    }
}

#[test]
fn the_first_rule_decides() {
    let rules = [RedirectRule::exact("/x", "/first"), RedirectRule::exact("/x", "/second")];
    assert_eq!(location(rules, "http://a/x").as_deref(), Some("/first"));
}

#[test]
fn redirects_that_cannot_work_are_refused() {
    for rule in [
        RedirectRule::exact("old", "/new"),
        RedirectRule::exact("/old", "new"),
        RedirectRule::exact("/old", "ftp://a/"),
        RedirectRule::exact("/old", "https://a/?x"),
        RedirectRule::exact("/old", "/new?x"),
        RedirectRule::exact("/old", "/old"),
        RedirectRule::prefix("/old", "/old/new"),
        RedirectRule::exact("/old", "/new").status(StatusCode::OK),
        RedirectRule::exact("/old", "/new").host("a b"),
        RedirectRule::exact("/old", "/new").query("a#b"),
        RedirectRule::www_to_apex("a b"),
    ] {
        assert!(RedirectLayer::new([rule.clone()]).is_err(), "{rule:?}");
    }
    let circle = [RedirectRule::exact("/a", "/b"), RedirectRule::exact("/b", "/c"), RedirectRule::exact("/c", "/a")];
    assert!(RedirectLayer::new(circle.clone()).is_err() && RedirectLayer::new(circle.into_iter().take(2)).is_ok());
    let growing = [RedirectRule::prefix("/a", "/b/a"), RedirectRule::prefix("/b", "/a/b")];
    assert!(RedirectLayer::new(growing).is_err());
    let slashes = [RedirectRule::exact("/x/", "/x"), RedirectRule::add_trailing_slash()];
    assert!(RedirectLayer::new(slashes).is_err());
    let both = [RedirectRule::add_trailing_slash(), RedirectRule::remove_trailing_slash()];
    assert!(RedirectLayer::new(both).is_err());
}

proptest! {
    #[test]
    fn no_path_leads_to_another_host(path in "/(/|\\\\|\\.|;|%2f|%5c|evil|x|@|:){0,10}") {
        let rules = [
            RedirectRule::prefix("/x", "/"),
            RedirectRule::add_trailing_slash(),
        ];
        if let Some(location) = location(rules, &format!("http://a{path}")) {
            prop_assert!(location.starts_with('/'));
            prop_assert!(!location.starts_with("//") && !location.starts_with("/\\"));
            prop_assert!(!location.contains(['\r', '\n']));
        }
    }
}
