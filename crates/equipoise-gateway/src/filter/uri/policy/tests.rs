use proptest::prelude::*;

use super::*;

#[test]
fn every_ambiguous_path_is_refused_with_its_reason() {
    for (path, fault) in [
        ("/a%00b", PathFault::Nul),
        ("/a%", PathFault::InvalidEncoding),
        ("/a%2", PathFault::InvalidEncoding),
        ("/a%zz", PathFault::InvalidEncoding),
        ("/a%0d%0ab", PathFault::Control),
        ("/a%7f", PathFault::Control),
        ("/..%c0%af..", PathFault::NotUtf8),
        ("/%e0%80%af", PathFault::NotUtf8),
        ("/%ff", PathFault::NotUtf8),
        ("/admin%2f..", PathFault::EncodedSlash),
        ("/static/..%5cadmin", PathFault::Backslash),
        ("/static\\..\\admin", PathFault::Backslash),
        ("/;/admin", PathFault::Parameters),
        ("/admin;x=1", PathFault::Parameters),
        ("/admin%3bx", PathFault::Parameters),
        ("/a/../b", PathFault::DotSegments),
        ("/a/%2e%2E/b", PathFault::DotSegments),
        ("/a/.%2e", PathFault::DotSegments),
        ("/.", PathFault::DotSegments),
        ("//a", PathFault::EmptySegments),
        ("/a//", PathFault::EmptySegments),
    ] {
        assert_eq!(UriPolicy::new().apply(path), Err(fault), "{path}");
    }
}

#[test]
fn equivalent_encodings_become_one() {
    for (path, forwarded) in [
        ("/", "/"),
        ("/a/.well-known/b..c/...", "/a/.well-known/b..c/..."),
        ("/%61%7E%2d", "/a~-"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/caf\u{e9}", "/caf%C3%A9"),
        ("/a%20b%25", "/a%20b%25"),
        ("/a%252fb", "/a%252fb"),
    ] {
        assert_eq!(UriPolicy::new().apply(path).as_deref(), Ok(forwarded), "{path}");
    }
    let keep = UriPolicy::new().keep_encodings(true);
    assert_eq!(keep.apply("/%61%2a").as_deref(), Ok("/%61%2a"));
    assert_eq!(keep.apply("/a/%2e%2e/b"), Err(PathFault::DotSegments));
}

#[test]
fn faults_are_rewritten_if_asked_for() {
    let all = PathFault::ALL
        .into_iter()
        .fold(UriPolicy::new(), |policy, fault| policy.on(fault, PathAction::Normalize))
        .on(PathFault::DoubleEncoding, PathAction::Allow);
    for (path, forwarded) in [
        ("/a%2f..%2F..%2fadmin", "/admin"),
        ("/static/..%5cadmin", "/admin"),
        ("/;/admin", "/admin"),
        ("/public/..;x=1/admin;y", "/admin"),
        ("/a//b/./c/../d", "/a/b/d"),
        ("/..", "/"),
        ("/a/%2e%2e", "/"),
        ("/100%", "/100%25"),
        ("/%%32f", "/%252f"),
    ] {
        assert_eq!(all.apply(path).as_deref(), Ok(forwarded), "{path}");
    }
    for path in ["/%00", "/%0a", "/%ff"] {
        assert!(all.apply(path).is_err(), "{path}");
    }
    let double = UriPolicy::new().on(PathFault::DoubleEncoding, PathAction::Refuse);
    for path in ["/a%252fb", "/a%25%32f", "/%25%412"] {
        assert_eq!(double.apply(path), Err(PathFault::DoubleEncoding), "{path}");
    }
    assert_eq!(double.apply("/100%25").as_deref(), Ok("/100%25"));
}

#[test]
fn each_fault_has_its_own_setting() {
    for (path, fault) in [
        ("/a%2Fb", PathFault::EncodedSlash),
        ("/a\\b", PathFault::Backslash),
        ("/a;b", PathFault::Parameters),
        ("/a/../b", PathFault::DotSegments),
        ("/a//b", PathFault::EmptySegments),
        ("/a%", PathFault::InvalidEncoding),
        ("/a%0A", PathFault::Control),
        ("/%FF", PathFault::NotUtf8),
    ] {
        let policy = UriPolicy::new().on(fault, PathAction::Allow);
        assert_eq!(policy.apply(path).as_deref(), Ok(path), "{path}");
    }
    let bare = UriPolicy::new().on(PathFault::InvalidEncoding, PathAction::Allow);
    assert_eq!(bare.apply("/%%41%42").as_deref(), Ok("/%%41B"), "no encoding comes into being");
    let nul = UriPolicy::new().on(PathFault::Nul, PathAction::Allow);
    assert_eq!(nul.apply("/%00"), Err(PathFault::Nul));
    let merging = UriPolicy::new()
        .on(PathFault::DotSegments, PathAction::Allow)
        .on(PathFault::EmptySegments, PathAction::Normalize);
    assert_eq!(merging.apply("/a//../b").as_deref(), Ok("/a/../b"));
}

proptest! {
    #[test]
    fn a_path_that_was_normalized_stays(
        path in "/(/|\\.|;|\\\\|a|\u{e9}|%2e|%2F|%5c|%3b|%41|%42|%c3%a9|%25|%|2|f){0,12}",
        actions in proptest::collection::vec(0..3_u8, 10),
        keep: bool,
    ) {
        let policy = PathFault::ALL.into_iter().zip(actions).fold(UriPolicy::new(), |policy, (fault, action)| {
            let action = match action { 0 => PathAction::Refuse, 1 => PathAction::Normalize, _ => PathAction::Allow };
            policy.on(fault, action)
        });
        let policy = policy.keep_encodings(keep);
        if let Ok(once) = policy.apply(&path) {
            prop_assert!(once.starts_with('/'));
            let again = policy.apply(&once);
            prop_assert_eq!(again.as_deref(), Ok(&*once));
        }
    }

    #[test]
    fn what_passes_the_default_is_not_ambiguous(path in "/(/|\\.|;|\\\\|a|%2e|%2F|%5c|%3b|%41|%00|%0a|%ff|%){0,10}") {
        if let Ok(path) = UriPolicy::new().apply(&path) {
            prop_assert!(!equipoise_proxy::__private::is_ambiguous_path(&path));
            prop_assert_eq!(&*equipoise_proxy::__private::normalized_path(&path), &*path);
        }
    }
}
