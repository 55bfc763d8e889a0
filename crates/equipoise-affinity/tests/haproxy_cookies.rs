//! Replays exchanges that were recorded from HAProxy. `golden/README.md` describes how they were recorded.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the answer")]

#[path = "golden/parted.rs"]
mod parted;
#[path = "golden/recorded.rs"]
mod recorded;

use std::time::{Duration, SystemTime};

use equipoise_affinity::cookie::{CookieMatch, CookieValue, PersistenceCookie, ResponseContext};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use crate::parted::{Parted, parted_cookie, parted_set_cookie};
use crate::recorded::{add, backend_answer, cookie, head, lines, servers, strings, transcripts};

/// A recorded `cookie` line and the servers' `cookie` values.
struct Config {
    cookie: PersistenceCookie,
    servers: Vec<(String, CookieValue)>,
}

impl Config {
    fn new(words: &str, servers: impl IntoIterator<Item = (String, String)>) -> Self {
        let cookie = cookie(words);
        let servers = servers.into_iter().map(|(server, value)| (server, cookie.value(value).unwrap())).collect();
        Self { cookie, servers }
    }

    fn value(&self, server: &str) -> Option<&CookieValue> {
        self.servers.iter().find(|(name, _)| name == server).map(|(_, value)| value)
    }

    /// The server that the value names. It is down unless `may` returns true for it.
    fn find(&self, value: &[u8], may: impl Fn(&str) -> bool) -> CookieMatch<String> {
        match self.servers.iter().find(|(_, known)| known.as_str().as_bytes() == value) {
            Some((server, _)) if may(server) => CookieMatch::Endpoint(server.clone()),
            Some(_) => CookieMatch::Down,
            None => CookieMatch::Unknown,
        }
    }
}

/// Returns whether a server can be used, according to the configuration and the commands of the transcript. A server
/// that does not listen (port 18699) counts as down. For the cookie, it makes no difference whether a check or the
/// request detects that it is down, as in `server_refuses_redispatch_1`.
fn usable(config: &[String], out: &[String], server: &str) -> bool {
    let refuses = config.iter().any(|line| line.starts_with(&format!("server {server} ")) && line.contains(":18699"));
    !refuses && !out.iter().any(|name| name == server)
}

#[test]
fn every_recorded_transcript_comes_out_the_same() {
    // Any time will do, because the recorded cookies have no dates.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (mut replayed, mut left_out) = (0, Vec::new());
    for transcript in &transcripts() {
        let name = transcript["name"].as_str().unwrap();
        let lines_of_config = strings(&transcript["backend_config"]);
        let words = lines_of_config.iter().find_map(|line| line.strip_prefix("cookie ")).unwrap();
        let config = Config::new(words, servers(&lines_of_config));
        let ignored = lines_of_config.iter().any(|line| line == "ignore-persist if { path_beg /static }");
        let mut out: Vec<String> = Vec::new();
        for (at, step) in transcript["steps"].as_array().unwrap().iter().enumerate() {
            if let Some(command) = step["admin"].as_str() {
                let words: Vec<_> = command.split(['/', ' ']).collect();
                let server = words[3].to_owned();
                out.retain(|name| *name != server);
                // With drain and weight 0, a server keeps its sessions.
                if words[4..] == ["state", "maint"] {
                    out.push(server);
                }
                continue;
            }
            let Some(upstream) = step["upstream"].as_array().and_then(|all| all.last()) else {
                left_out.push(format!("{name}, step {at}"));
                continue;
            };
            let (server, raw) = (upstream[0].as_str().unwrap(), upstream[1].as_str().unwrap());
            let (first, mut request) = head(step["request"].as_str().unwrap());
            let method = Method::from_bytes(first[0].as_bytes()).unwrap();
            let (named, state) = if ignored && first[1].starts_with("/static") {
                (None, config.cookie.disregard(&mut request))
            } else {
                let may = |server: &str| usable(&lines_of_config, &out, server);
                config.cookie.on_request(&mut request, now, |value| config.find(value, may))
            };
            if let Some(named) = &named {
                assert_eq!(named, server, "{name}, step {at}");
            }
            let seen = head(raw).1;
            assert_eq!(lines(&request, header::COOKIE), lines(&seen, header::COOKIE), "{name}, step {at}");

            let (first, expected) = head(step["response"].as_str().unwrap());
            let status = StatusCode::from_bytes(first[1].as_bytes()).unwrap();
            let mut response = backend_answer(name, &expected);
            let value = config.value(server);
            let context = ResponseContext::new(state, value, &method, now).kept(named.is_some());
            config.cookie.on_response(context, status, &mut response);
            for header in [header::SET_COOKIE, header::CACHE_CONTROL] {
                assert_eq!(lines(&response, header.clone()), lines(&expected, header), "{name}, step {at}");
            }
            replayed += 1;
        }
    }
    // The whole proxy decides about a 503, and not the code under test. The recordings contain none.
    assert_eq!(left_out, Vec::<String>::new());
    assert_eq!(replayed, 76);
}

/// One exchange as `golden/README.md` describes it: the server that its cookie named or that got the request, and its
/// `Cookie`, `Set-Cookie` and `Cache-Control` lines afterwards.
type Exchange = (Option<String>, [Vec<String>; 3]);

fn exchange(set: &Value, config: &Config, case: &Value) -> Exchange {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(case["now"].as_u64().unwrap());
    let server = case["server"].as_str().unwrap();
    let is_down = |server: &str| set["down"].as_array().is_some_and(|down| down.iter().any(|name| name == server));
    let mut request = HeaderMap::new();
    strings(&case["cookie"]).iter().for_each(|line| add(&mut request, "cookie", line));
    let (named, state) = if set["ignored"] == true {
        (None, config.cookie.disregard(&mut request))
    } else {
        config.cookie.on_request(&mut request, now, |value| config.find(value, |server| !is_down(server)))
    };

    let mut response = HeaderMap::new();
    for line in case["headers"].as_array().unwrap() {
        add(&mut response, line[0].as_str().unwrap(), line[1].as_str().unwrap());
    }
    let method = Method::from_bytes(case["method"].as_str().unwrap().as_bytes()).unwrap();
    let status = StatusCode::from_u16(case["status"].as_u64().unwrap().try_into().unwrap()).unwrap();
    let value = config.value(server);
    let context = ResponseContext::new(state, value, &method, now).kept(named.is_some());
    config.cookie.on_response(context, status, &mut response);
    let became = [(&request, header::COOKIE), (&response, header::SET_COOKIE), (&response, header::CACHE_CONTROL)];
    (named.filter(|named| named != server), became.map(|(headers, name)| tightened(lines(headers, name))))
}

/// Returns the recorded result.
fn recorded(case: &Value) -> Exchange {
    (None, [&case["upstream"], &case["set_cookie"], &case["cache_control"]].map(|lines| tightened(strings(lines))))
}

/// Removes the white space around `=`. HAProxy removes it in every cookie, and equipoise does not change the cookies of
/// other applications.
fn tightened(lines: Vec<String>) -> Vec<String> {
    let tight = |line: String| {
        let parts: Vec<&str> = line.split('=').map(|part| part.trim_matches([' ', '\t'])).collect();
        let (first, last) = (line.len() - line.trim_start().len(), line.trim_end().len());
        format!("{}{}{}", &line[..first.min(last)], parts.join("="), &line[last.max(first)..])
    };
    lines.into_iter().map(tight).collect()
}

/// Returns the exchange rewritten so that HAProxy and RFC 6265 find the same cookies, and the differences that were
/// rewritten.
fn reworded(case: &Value) -> (Value, Parted) {
    let (mut case, mut parted) = (case.clone(), Parted::default());
    let mut reword = |lines: &mut Value, of: fn(&str, &mut Parted) -> String| {
        for line in lines.as_array_mut().unwrap() {
            *line = of(line.as_str().unwrap(), &mut parted).into();
        }
    };
    reword(&mut case["cookie"], parted_cookie);
    reword(&mut case["upstream"], parted_cookie);
    reword(&mut case["set_cookie"], parted_set_cookie);
    for line in case["headers"].as_array_mut().unwrap().iter_mut().filter(|line| line[0] == "set-cookie") {
        line[1] = parted_set_cookie(line[1].as_str().unwrap(), &mut parted).into();
    }
    (case, parted)
}

#[test]
fn every_recorded_head_comes_out_the_same() {
    let golden: Value = serde_json::from_str(include_str!("golden/haproxy_cookie_heads.json")).unwrap();
    let (mut cases, mut same, mut wrong) = (0, 0, Vec::new());
    let [mut commas, mut quotes, mut dollars] = [0; 3];
    for set in golden["sets"].as_array().unwrap() {
        let has_name =
            |server: &str| set["nameless"].as_array().is_none_or(|names| names.iter().all(|name| name != server));
        let servers = [("s1", "A"), ("s2", "B"), ("s3", "C")].into_iter().filter(|(server, _)| has_name(server));
        let servers = servers.map(|(server, value)| (server.to_owned(), value.to_owned()));
        let config = Config::new(set["cookie"].as_str().unwrap(), servers);
        for case in set["cases"].as_array().unwrap() {
            cases += 1;
            if exchange(set, &config, case) == recorded(case) {
                same += 1;
                continue;
            }
            let (case, parted) = reworded(case);
            commas += usize::from(parted.comma);
            quotes += usize::from(parted.quote);
            dollars += usize::from(parted.dollar);
            let (got, expected) = (exchange(set, &config, &case), recorded(&case));
            if got != expected {
                wrong.push(format!("{}: {case}\n    got {got:?}", set["cookie"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ, the first of them:\n{}", wrong.len(), wrong[..wrong.len().min(8)].join("\n"));
    assert_eq!((cases, same), (520, 474), "the others only in other words");
    assert_eq!([commas, quotes, dollars], [32, 35, 1]);
}
