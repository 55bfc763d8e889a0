//! The recordings, and functions that read them. Several tests use them.

use std::time::Duration;

use equipoise_affinity::cookie::{CookieValue, PersistenceCookie};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

/// Returns all transcripts of `haproxy_cookies.json`.
pub(crate) fn transcripts() -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("haproxy_cookies.json")).unwrap();
    golden["transcripts"].as_array().unwrap().clone()
}

/// Returns the cookie settings for the words after `cookie` in HAProxy's configuration.
pub(crate) fn cookie(words: &str) -> PersistenceCookie {
    let mut words = words.split_whitespace();
    let (name, mode) = (words.next().unwrap(), words.next().unwrap());
    let mut builder = match mode {
        "insert" => PersistenceCookie::insert(name),
        "rewrite" => PersistenceCookie::rewrite(name),
        "prefix" => PersistenceCookie::prefix(name),
        other => panic!("an unknown mode: {other}"),
    };
    let seconds = |word: Option<&str>| Duration::from_secs(word.unwrap().parse().unwrap());
    while let Some(word) = words.next() {
        builder = match word {
            "indirect" => builder.indirect(),
            "nocache" => builder.nocache(),
            "preserve" => builder.preserve(),
            "postonly" => builder.postonly(),
            "httponly" => builder.httponly(),
            "secure" => builder.secure(),
            "domain" => builder.domain(words.next().unwrap()),
            "attr" => builder.attribute(words.next().unwrap().trim_matches('"')),
            "maxidle" => builder.idle_timeout(seconds(words.next())),
            "maxlife" => builder.lifetime(seconds(words.next())),
            "dynamic" => builder,
            other => panic!("an unknown word: {other}"),
        };
    }
    builder.build().unwrap()
}

pub(crate) fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect()
}

/// Adds a header as a parser would: without the white space around the value.
pub(crate) fn add(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(&latin1(name)).unwrap();
    headers.append(name, HeaderValue::from_bytes(&latin1(value.trim_matches([' ', '\t']))).unwrap());
}

pub(crate) fn lines(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let text = |line: &HeaderValue| line.as_bytes().iter().copied().map(char::from).collect();
    headers.get_all(name).iter().map(text).collect()
}

pub(crate) fn strings(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// Returns the words of the first line and the headers of a recorded message.
pub(crate) fn head(raw: &str) -> (Vec<&str>, HeaderMap) {
    let (head, _) = raw.split_once("\r\n\r\n").unwrap();
    let mut all = head.split("\r\n");
    let first = all.next().unwrap().split(' ').collect();
    let mut headers = HeaderMap::new();
    for line in all {
        let (name, value) = line.split_once(':').unwrap();
        add(&mut headers, name, value);
    }
    (first, headers)
}

/// Returns the cookie value of each server, from its `server` line. A server without a value has HAProxy's dynamic
/// value.
pub(crate) fn servers(config: &[String]) -> Vec<(String, String)> {
    let key = config.iter().find_map(|line| line.strip_prefix("dynamic-cookie-key "));
    let server = |line: &String| {
        let words: Vec<_> = line.strip_prefix("server ")?.split(' ').collect();
        let fixed = words.iter().position(|word| *word == "cookie").map(|at| words[at + 1].to_owned());
        let dynamic = || CookieValue::dynamic(key.unwrap().as_bytes(), words[1].parse().unwrap()).as_str().to_owned();
        Some((words[0].to_owned(), fixed.unwrap_or_else(dynamic)))
    };
    config.iter().filter_map(server).collect()
}

/// Returns the `Set-Cookie` lines that the recorded backend sent. The transcripts do not show them if HAProxy removed
/// or changed them.
pub(crate) fn backend_cookies(transcript: &str) -> &'static [&'static str] {
    match transcript {
        "insert_indirect_server_sets_same_cookie" => &["SRV=app; Path=/"],
        "rewrite" => &["SRV=app; Path=/"],
        "prefix" => &["JSESSIONID=abc123; Path=/app; HttpOnly", "other=1"],
        _ => &[],
    }
}

/// Returns the response of the backend. Its other headers are those of HAProxy's response, except the `Cache-Control`
/// line that `nocache` adds, which no backend sent.
pub(crate) fn backend_answer(transcript: &str, answer: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in answer {
        if name != header::SET_COOKIE && !(name == header::CACHE_CONTROL && value == "private") {
            headers.append(name, value.clone());
        }
    }
    backend_cookies(transcript).iter().for_each(|line| add(&mut headers, "set-cookie", line));
    headers
}
