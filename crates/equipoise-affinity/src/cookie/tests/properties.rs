use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Bytes that headers can have, many of them with a meaning in cookies.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => select(vec!["SRV", "=", "SRV=A", "SRV=B~x", "SRV=A|awRZa|awRZa", "; ", ";", ",", " ", "\t", "~", "|", "a=1",
            "list=a,SRV=A", "$", "$Path=/", "; $version", "q=\"1; "])
            .prop_map(|word| word.as_bytes().to_vec()),
        1 => select(vec![b'"', b'\\']).prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_filter("fits into a header", |byte| *byte >= 32 && *byte != 127).prop_map(|byte| vec![byte]),
    ];
    vec(word, 0..16).prop_map(|words| words.concat())
}

fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(line(), 0..4)
}

fn any_cookie() -> impl Strategy<Value = PersistenceCookie> {
    (0..6).prop_map(|kind| {
        let minute = Duration::from_secs(60);
        let insert = PersistenceCookie::insert("SRV").nocache();
        match kind {
            0 => insert.build(),
            1 => insert.indirect().httponly().build(),
            2 => insert.preserve().build(),
            3 => insert.indirect().idle_timeout(minute).lifetime(minute).build(),
            4 => PersistenceCookie::rewrite("SRV").build(),
            _ => PersistenceCookie::prefix("SRV").build(),
        }
        .unwrap()
    })
}

fn headers(name: http::HeaderName, lines: &[Vec<u8>]) -> HeaderMap {
    lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap())).collect()
}

/// The texts between semicolons, without the white space around them (RFC 6265, sections 4.2.1 and 5.4). Uses none of the
/// code under test.
fn parts(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let outer = |byte: &u8| matches!(byte, b' ' | b'\t');
    line.as_bytes().split(|byte| *byte == b';').map(move |part| {
        let from = part.iter().position(|byte| !outer(byte)).unwrap_or(part.len());
        let to = part.iter().rposition(|byte| !outer(byte)).map_or(from, |last| last + 1);
        &part[from..to]
    })
}

/// The text before the first `=` of a part, if there is one.
fn name(part: &[u8]) -> Option<Vec<u8>> {
    let at = part.iter().position(|byte| *byte == b'=')?;
    Some(part[..at].trim_ascii_end().to_vec())
}

fn is_ours(part: &[u8]) -> bool {
    name(part).is_some_and(|name| name == b"SRV")
}

/// Whether this is an attribute of the cookie before it (RFC 2965).
fn is_attribute(part: &[u8]) -> bool {
    let name = name(part).unwrap_or_else(|| part.to_vec()).to_ascii_lowercase();
    ["$version", "$path", "$domain", "$port"].iter().any(|known| name == known.as_bytes())
}

/// The bytes of all other cookies, in order, line by line.
fn others(headers: &HeaderMap) -> Vec<Vec<Vec<u8>>> {
    let foreign = |part: &&[u8]| !part.is_empty() && !is_ours(part) && !is_attribute(part);
    let line = |line| parts(line).filter(foreign).map(<[u8]>::to_vec).collect::<Vec<_>>();
    headers.get_all(COOKIE).iter().map(line).filter(|parts| !parts.is_empty()).collect()
}

proptest! {
    #[test]
    fn other_cookies_stay_what_and_where_they_are(lines in lines(), cookie in any_cookie()) {
        let mut headers = headers(COOKIE, &lines);
        let before = others(&headers);
        cookie.on_request(&mut headers, at(NOW), find);
        prop_assert_eq!(others(&headers), before);
    }

    #[test]
    fn nothing_of_an_indirect_cookie_gets_through(lines in lines()) {
        let cookie = PersistenceCookie::insert("SRV").indirect().build().unwrap();
        let mut headers = headers(COOKIE, &lines);
        cookie.on_request(&mut headers, at(NOW), find);
        prop_assert!(!headers.get_all(COOKIE).iter().flat_map(parts).any(is_ours));
        let once = headers.clone();
        let (endpoint, state) = cookie.on_request(&mut headers, at(NOW), find);
        prop_assert_eq!(endpoint, None);
        prop_assert_eq!(state.outcome(), CookieOutcome::Absent);
        prop_assert_eq!(headers, once);
    }

    #[test]
    fn to_disregard_a_cookie_leaves_what_the_endpoint_sees(lines in lines(), cookie in any_cookie()) {
        let (mut read, mut disregarded) = (headers(COOKIE, &lines), headers(COOKIE, &lines));
        cookie.on_request(&mut read, at(NOW), find);
        cookie.disregard(&mut disregarded);
        prop_assert_eq!(read, disregarded);
    }

    #[test]
    fn other_set_cookie_lines_stay(lines in lines(), cookie in any_cookie(), kept: bool, named: bool) {
        let mut response = headers(SET_COOKIE, &lines);
        let value = cookie.value("B").unwrap();
        let context = ResponseContext::new(CookieState::default(), named.then_some(&value), &Method::GET, at(NOW)).kept(kept);
        cookie.on_response(context, StatusCode::OK, &mut response);
        // Returns all lines. Of lines with the persistence cookie, it returns only the attributes.
        let comparable = |headers: &HeaderMap| -> Vec<Vec<u8>> {
            let ours = |line: &HeaderValue| parts(line).next().is_some_and(is_ours);
            let attributes = |line: &[u8]| line.iter().position(|byte| *byte == b';').map(|at| line[at..].to_vec());
            let lines = headers.get_all(SET_COOKIE).iter();
            lines
                .filter_map(|line| match ours(line) {
                    false => Some(line.as_bytes().to_vec()),
                    true if cookie.mode() == CookieMode::Insert => None,
                    true => attributes(line.as_bytes()),
                })
                .collect()
        };
        prop_assert_eq!(comparable(&response), comparable(&headers(SET_COOKIE, &lines)));
    }

    #[test]
    fn what_is_set_comes_back(
        id in "[!#-+\\--:<-\\[\\]-{}]{1,64}",
        cookie in any_cookie(),
        around in any::<bool>(),
        now in 4_u64..1 << 32,
        later in 0_u64..50,
    ) {
        let value = cookie.value(&id).unwrap();
        let mut response = HeaderMap::new();
        if cookie.mode() != CookieMode::Insert {
            response.insert(SET_COOKIE, HeaderValue::from_static("SRV=app; Path=/"));
        }
        let state = CookieState::default();
        let context = ResponseContext::new(state, Some(&value), &Method::GET, at(now));
        cookie.on_response(context, StatusCode::OK, &mut response);
        let set = response[SET_COOKIE].to_str().unwrap();
        prop_assert_eq!(response.get_all(SET_COOKIE).iter().count(), 1);
        let (pair, attributes) = set.split_once(';').unwrap();
        prop_assert!(!pair.contains([' ', ',', '"', '\\']), "{}", set);
        prop_assert!(attributes.eq_ignore_ascii_case(" path=/") || attributes == " path=/; HttpOnly");

        let line = if around { format!("a=1; {pair}; b=2") } else { pair.to_owned() };
        let mut request = cookies(&[&line]);
        let known = |value: &[u8]| if value == id.as_bytes() { CookieMatch::Endpoint(()) } else { CookieMatch::Unknown };
        let (endpoint, state) = cookie.on_request(&mut request, at(now + later), known);
        prop_assert_eq!(endpoint, Some(()));
        prop_assert_eq!(state.outcome(), CookieOutcome::Valid);

        let mut response = HeaderMap::new();
        let context = ResponseContext::new(state, Some(&value), &Method::GET, at(now)).kept(true);
        prop_assert_eq!(cookie.on_response(context, StatusCode::OK, &mut response), CookieAction::Nothing);
    }
}
