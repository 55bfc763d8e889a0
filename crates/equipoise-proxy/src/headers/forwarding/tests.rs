use std::net::SocketAddr;

use super::*;

fn request(peer: &str, lines: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/").header(HOST, "app.test:8080");
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let mut request = request.body(()).expect("a request");
    request.extensions_mut().insert(PeerAddr(SocketAddr::new(peer.parse().expect("an address"), 4711)));
    request
        .extensions_mut()
        .insert(ConnectionInfo::new().local("192.0.2.1:443".parse().expect("an address")).tls(true));
    request
}

fn applied(fields: &ForwardingFields, peer: &str, lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut request = request(peer, lines);
    fields.apply(&mut request);
    let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
    let mut all: Vec<_> = request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    all.retain(|(name, _)| name != "host");
    all.sort();
    all
}

fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const FORGED: [(&str, &str); 7] = [
    ("x-forwarded-for", "6.6.6.6"),
    ("x-forwarded-for", ""),
    ("x-forwarded-proto", "ftp"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-port", "666"),
    ("x-real-ip", "6.6.6.6"),
    ("forwarded", "for=6.6.6.6"),
];

#[test]
fn nothing_that_an_untrusted_client_wrote_is_forwarded() {
    let all = lines(&[
        ("forwarded", "for=203.0.113.9;host=\"app.test:8080\";proto=https"),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "app.test:8080"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "203.0.113.9"),
    ]);
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks"));
    for action in [FieldAction::Append, FieldAction::Replace] {
        assert_eq!(applied(&fields.clone().all(action), "203.0.113.9", &FORGED), all);
        assert_eq!(applied(&fields.clone().all(action), "203.0.113.9", &[]), all);
    }
    assert_eq!(applied(&fields.clone().all(FieldAction::Remove), "203.0.113.9", &FORGED), []);
    let default = applied(&fields, "203.0.113.9", &FORGED);
    let names: Vec<_> = default.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
}

#[test]
fn what_a_trusted_proxy_wrote_is_kept_and_continued() {
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks")).all(FieldAction::Append);
    let all = [
        ReportedField::XForwardedFor,
        ReportedField::XForwardedProto,
        ReportedField::XForwardedHost,
        ReportedField::XForwardedPort,
        ReportedField::Forwarded,
    ];
    assert_eq!(
        applied(&fields.clone().written_by_proxies(all), "10.0.0.1", &FORGED),
        lines(&[
            ("forwarded", "for=6.6.6.6, for=10.0.0.1;host=\"app.test:8080\";proto=https"),
            ("x-forwarded-for", "6.6.6.6, 10.0.0.1"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-port", "666"),
            ("x-forwarded-proto", "ftp"),
            // From `X-Forwarded-For`.
            ("x-real-ip", "6.6.6.6"),
        ])
    );
    let real_ip = applied(&fields, "10.0.0.1", &[("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.0.0.2")]);
    assert!(real_ip.contains(&("x-real-ip".to_owned(), "203.0.113.9".to_owned())), "{real_ip:?}");
}

#[test]
fn what_a_trusted_proxy_has_passed_on_is_not_believed() {
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks")).all(FieldAction::Append);
    let passed_on = [&FORGED[2..], &[("x-forwarded-for", "203.0.113.9")]].concat();
    let here = [
        ("forwarded", "for=10.0.0.1;host=\"app.test:8080\";proto=https"),
        ("x-forwarded-for", "203.0.113.9, 10.0.0.1"),
        ("x-forwarded-host", "app.test:8080"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "203.0.113.9"),
    ];
    assert_eq!(applied(&fields, "10.0.0.1", &passed_on), lines(&here));
    let with_proto = fields.clone().written_by_proxies([ReportedField::XForwardedFor, ReportedField::XForwardedProto]);
    let mut proto = here;
    proto[4].1 = "ftp";
    assert_eq!(applied(&with_proto, "10.0.0.1", &passed_on), lines(&proto));
    // Of several lines, the proxy has added the last one.
    let added = applied(&with_proto, "10.0.0.1", &[("x-forwarded-proto", "ftp"), ("x-forwarded-proto", "http")]);
    assert!(added.contains(&("x-forwarded-proto".to_owned(), "http".to_owned())), "{added:?}");
    let none = applied(&fields.written_by_proxies([]), "10.0.0.1", &passed_on);
    assert!(none.contains(&("x-forwarded-for".to_owned(), "10.0.0.1".to_owned())), "{none:?}");
    assert!(none.contains(&("x-real-ip".to_owned(), "10.0.0.1".to_owned())), "{none:?}");
}

#[test]
fn a_host_that_is_not_valid_is_left_out_of_forwarded() {
    let fields = ForwardingFields::new().all(FieldAction::Remove).forwarded(FieldAction::Append);
    for host in ["a\";for=6.6.6.6", "a b", "app.test:x"] {
        let mut request = request("203.0.113.9", &[]);
        request.headers_mut().insert(HOST, HeaderValue::from_static(host));
        fields.apply(&mut request);
        assert_eq!(request.headers()["forwarded"], "for=203.0.113.9;proto=https", "{host}");
    }
}

#[test]
fn an_element_does_not_become_a_part_of_the_quoted_text_before_it() {
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks")).all(FieldAction::Remove);
    let fields = fields.forwarded(FieldAction::Append).written_by_proxies([ReportedField::Forwarded]);
    let here = "for=10.0.0.1;host=\"app.test:8080\";proto=https";
    for (list, is_continued) in [
        (&["for=\"[2001:db8::1]\""][..], true),
        (&["for=\"a\\\"b\""], true),
        (&["for=\"6.6.6.6"], false),
        (&["for=\"a\\\""], false),
        // Each line must be complete by itself.
        (&["for=\"a", "b\""], false),
    ] {
        let lines: Vec<_> = list.iter().map(|line| ("forwarded", *line)).collect();
        let forwarded = &applied(&fields, "10.0.0.1", &lines)[0].1;
        let expected = if is_continued { format!("{}, {here}", list[0]) } else { here.to_owned() };
        assert_eq!(*forwarded, expected, "{list:?}");
    }
    // `X-Forwarded-For` has no quoted strings.
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks"));
    let list = applied(&fields, "10.0.0.1", &[("x-forwarded-for", "\", 203.0.113.9")]);
    assert!(list.contains(&("x-forwarded-for".to_owned(), "\", 203.0.113.9, 10.0.0.1".to_owned())), "{list:?}");
}

#[test]
fn ipv6_addresses_are_quoted_only_where_the_grammar_asks_for_it() {
    let fields = ForwardingFields::new().all(FieldAction::Remove);
    let fields = fields.forwarded(FieldAction::Append).x_forwarded_for(FieldAction::Append);
    assert_eq!(
        applied(&fields, "2001:db8::1", &[]),
        lines(&[
            ("forwarded", "for=\"[2001:db8::1]\";host=\"app.test:8080\";proto=https"),
            ("x-forwarded-for", "2001:db8::1"),
        ])
    );
}

#[test]
fn addresses_are_written_as_usual() {
    for address in ["0.0.0.0", "1.10.100.255", "192.0.2.7", "2001:db8::1", "::ffff:1.2.3.4"] {
        assert_eq!(text(address.parse().expect("an address")), address);
    }
}

#[test]
fn fields_stay_if_they_are_to_be_kept() {
    let untouched = applied(&ForwardingFields::untouched(), "203.0.113.9", &FORGED);
    assert_eq!(untouched.len(), FORGED.len());
}

#[test]
fn addresses_and_ports_that_are_not_known_are_not_made_up() {
    let request = Request::get("/").header(HOST, "app.test:666");
    let request = request.header("x-forwarded-for", "6.6.6.6").header("x-forwarded-port", "666");
    let mut request = request.body(()).expect("a request");
    ForwardingFields::new().x_forwarded_port(FieldAction::Replace).apply(&mut request);
    assert!(!request.headers().contains_key("x-forwarded-for"));
    assert!(!request.headers().contains_key("x-forwarded-port"));
}

#[test]
fn other_fields_of_this_family_are_removed_unless_a_trusted_proxy_writes_them() {
    let forged = [("x-forwarded-prefix", "/admin"), ("x-forwarded-ssl", "on"), ("x-forwarded-for", "203.0.113.9")];
    let others = |fields: &ForwardingFields, peer: &str| {
        let all = applied(fields, peer, &forged).into_iter();
        all.map(|(name, _)| name).filter(|name| name.ends_with("prefix") || name.ends_with("ssl")).count()
    };
    let fields = ForwardingFields::behind("10.0.0.0/8".parse().expect("networks"));
    // A trusted proxy may have passed them on from its client.
    assert_eq!((others(&fields, "203.0.113.9"), others(&fields, "10.0.0.1")), (0, 0));
    let written = fields.clone().others_written_by_proxies([HeaderName::from_static("x-forwarded-prefix")]);
    assert_eq!((others(&written, "203.0.113.9"), others(&written, "10.0.0.1")), (0, 1));
    let lines = [("x-forwarded-prefix", "/forged"), ("x-forwarded-prefix", "/app")];
    // Of several lines, the proxy has added the last one.
    let added = applied(&written.all(FieldAction::Append), "10.0.0.1", &lines);
    let prefixes: Vec<_> = added.iter().filter(|(name, _)| name == "x-forwarded-prefix").collect();
    assert_eq!(prefixes, [&("x-forwarded-prefix".to_owned(), "/app".to_owned())]);
    for (action, left) in [(FieldAction::Keep, 2), (FieldAction::Replace, 0), (FieldAction::Remove, 0)] {
        let fields = fields.clone().other_x_forwarded(action);
        assert_eq!((others(&fields, "203.0.113.9"), others(&fields, "10.0.0.1")), (left, left), "{action:?}");
    }
    assert_eq!(others(&ForwardingFields::untouched(), "203.0.113.9"), 2);
}
