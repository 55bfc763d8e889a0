//! Valid texts, and the modes that they build.

use std::time::Duration;

use super::{mode, spec};
use crate::{
    EndpointNaming, Mode,
    cookie::PersistenceCookie,
    key::SessionKey,
    learn::{Learn, Route},
    source::{ClientAddress, ForwardedHeader},
    table::SessionTable,
};

fn table(key: SessionKey) -> Mode {
    Mode::table(key, std::sync::Arc::new(SessionTable::builder().build().expect("a table")))
}

fn behind(networks: &str) -> ClientAddress {
    ClientAddress::behind(networks.parse().expect("networks"))
}

#[test]
fn texts_build_what_builders_build() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let prefix = |v4, v6| equipoise_core::SourcePrefix::new(v4, v6).unwrap();
    let insert = || PersistenceCookie::insert("SRV");
    let plain = |cookie: PersistenceCookie| Mode::cookie(cookie, EndpointNaming::ids());
    let tokens = |cookie: PersistenceCookie| {
        let values = EndpointNaming::tokens(super::keys(), &cookie);
        Mode::cookie(cookie, values)
    };
    for (text, built) in [
        ("none", Mode::none()),
        ("source", table(SessionKey::source(ClientAddress::connection(), prefix(32, 64)))),
        (
            "source(v4=24, v6=56, trusted={10.0.0.0/8, 192.168.0.0/16}, header=X-Forwarded-For, by=hash)",
            Mode::hash(SessionKey::source(
                behind("10.0.0.0/8, 192.168.0.0/16").header(ForwardedHeader::XForwardedFor),
                prefix(24, 56),
            )),
        ),
        (
            "source(trusted={private}, header=forwarded, max-hops=2)",
            table(SessionKey::source(behind("private").header(ForwardedHeader::Forwarded).max_hops(2), prefix(32, 64))),
        ),
        (
            "source(trusted={loopback}, header=x-real-ip)",
            table(SessionKey::source(
                behind("loopback").header(ForwardedHeader::Single("x-real-ip".parse().unwrap())),
                prefix(32, 64),
            )),
        ),
        (
            "header(name=x-session, by=table, idle-timeout=30m, capacity=1000000)",
            table(SessionKey::header("x-session").unwrap()),
        ),
        (
            "app-cookie(name=sid, by=hash, max-key-len=64, missing=refuse)",
            Mode::hash(SessionKey::cookie("sid").unwrap().max_len(64).unwrap()),
        ),
        ("query(name=sid)", table(SessionKey::query_parameter("sid").unwrap())),
        ("path-parameter(name=sid)", table(SessionKey::path_parameter("sid").unwrap())),
        ("path", table(SessionKey::path())),
        ("path(segment=0)", table(SessionKey::path_segment(0))),
        ("path(first=2)", table(SessionKey::path_prefix(2).unwrap())),
        (
            "first-of(path-parameter=jsessionid, cookie=JSESSIONID)",
            table(SessionKey::cookie("JSESSIONID").unwrap().or(SessionKey::path_parameter("jsessionid").unwrap())),
        ),
        ("first-of(header=x-user, by=hash)", Mode::hash(SessionKey::header("x-user").unwrap())),
        (
            "all-of(host, header=x-user, query=tab)",
            table(
                SessionKey::host()
                    .and(SessionKey::header("x-user").unwrap())
                    .and(SessionKey::query_parameter("tab").unwrap()),
            ),
        ),
        ("host(by=store, missing=refuse)", table(SessionKey::host())),
        (
            "cookie(name=SRV, indirect, nocache, httponly, secure, domain=.example.com, same-site=Lax, idle-timeout=30m, lifetime=8h)",
            tokens(
                insert()
                    .indirect()
                    .nocache()
                    .httponly()
                    .secure()
                    .domain(".example.com")
                    .attribute("SameSite=Lax")
                    .build()
                    .unwrap(),
            ),
        ),
        (
            "cookie(name=SRV, values=id, idle-timeout=30m, lifetime=8h, preserve, postonly=true, indirect=false)",
            plain(insert().idle_timeout(minutes(30)).lifetime(minutes(480)).preserve().postonly().build().unwrap()),
        ),
        (
            r#"cookie(name=SRV, secure, same-site=None, attributes={Partitioned, "Priority=High"}, max-cookies=3, max-bytes=4096)"#,
            tokens(
                insert()
                    .secure()
                    .attribute("SameSite=None")
                    .attribute("Partitioned")
                    .attribute("Priority=High")
                    .max_cookies(3)
                    .max_bytes(4096)
                    .build()
                    .unwrap(),
            ),
        ),
        ("rewrite(name=SRV, values=id)", plain(PersistenceCookie::rewrite("SRV").build().unwrap())),
        (
            "prefix(name=JSESSIONID, nocache, idle-timeout=1h)",
            tokens(PersistenceCookie::prefix("JSESSIONID").nocache().build().unwrap()),
        ),
        (
            "cookie(name=SRV, values=dynamic)",
            Mode::cookie(insert().build().unwrap(), EndpointNaming::dynamic(b"pepper")),
        ),
        (
            "learn(query=sid, cookie=JSESSIONID, path-parameter=jsessionid, max-key-len=128)",
            Mode::learn(
                Learn::new()
                    .cookie("JSESSIONID")
                    .unwrap()
                    .path_parameter("jsessionid")
                    .unwrap()
                    .query_parameter("sid")
                    .unwrap()
                    .max_key_len(128.try_into().unwrap()),
                std::sync::Arc::new(SessionTable::builder().build().unwrap()),
            ),
        ),
        (
            r#"route(cookie=JSESSIONID, after-first=".")"#,
            Mode::route(Learn::new().cookie("JSESSIONID").unwrap(), Route::AfterFirst(b'.')),
        ),
        (
            r#"route(header=x-route, after-last="!")"#,
            Mode::route(Learn::new().header("x-route").unwrap(), Route::AfterLast(b'!')),
        ),
        ("route(query=to, whole)", Mode::route(Learn::new().query_parameter("to").unwrap(), Route::Whole)),
    ] {
        assert_eq!(format!("{:?}", mode(text)), format!("{built:?}"), "{text}");
    }
}

#[test]
fn texts_are_written_without_what_needs_not_be_said() {
    for (text, written) in [
        (" none ( ) ", "none"),
        ("header(by=table,name=x)", "header(name=x)"),
        ("header ( missing = wait( 2500ms ) , name = \"x\" )", "header(name=x, missing=wait(2.5s))"),
        ("cookie(secure=true, indirect=false, name=SRV, nocache)", "cookie(name=SRV, nocache, secure)"),
        ("source(trusted={ 10.0.0.0/8,loopback })", "source(trusted={10.0.0.0/8, loopback})"),
        ("source(trusted={})", "source"),
        ("route(cookie=sid, after-first=\".\", max-share=1.50)", "route(cookie=sid, max-share=1.5)"),
        ("route(cookie=sid, after-last=\"\\\\\")", "route(cookie=sid, after-last=\"\\\\\")"),
        (
            "prefix(name=S, values=name, names={ b:80 = B, \"a 1\" = \"A\" })",
            "prefix(name=S, values=name, names={\"a 1\"=A, b:80=B})",
        ),
        (
            "learn(cookie=\"a*b\", idle-timeout=3600s, capacity=0x10)",
            "learn(cookie=\"a*b\", idle-timeout=1h, capacity=16)",
        ),
    ] {
        assert_eq!(spec(text).to_string(), written, "{text}");
        assert_eq!(spec(written), spec(text), "{text}");
    }
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn sessions_in_redis_are_asked_for_by_url() {
    let text = "header(name=x, by=redis, idle-timeout=1h, lifetime=8h, url=redis://127.0.0.1:1/3, key-prefix=shop:, cache-ttl=0s, cache-capacity=10, lookup-timeout=20ms)";
    assert_eq!(spec(text).to_string(), text);
    assert_eq!(format!("{:?}", mode(text)), format!("{:?}", table(SessionKey::header("x").unwrap())));
}

#[cfg(feature = "serde")]
#[test]
fn in_files_specs_are_their_texts() {
    let spec: super::AffinitySpec = serde_json::from_str(r#""header(name=x, by=hash)""#).unwrap();
    assert_eq!(serde_json::to_string(&spec).unwrap(), r#""header(name=x, by=hash)""#);
    let error = serde_json::from_str::<super::AffinitySpec>(r#""heather""#).unwrap_err();
    assert!(error.to_string().starts_with("there is no mode \"heather\" (at 1)"), "{error}");
    let error = serde_json::from_str::<super::AffinitySpec>("7").unwrap_err();
    assert!(error.to_string().contains("a mode of affinity by name, such as cookie(name=SRV, indirect)"), "{error}");
}
