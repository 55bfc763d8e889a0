use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::cookie::pairs::{Pairs, set_cookie};

/// Bytes as they stand in headers, mostly those that mean something in a cookie.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        6 => select(vec!["SRV", "=", "SRV=A", "SRV=B~x", "SRV=A|awRZa|awRZa", "; ", ";", ",", " ", "\t", "~", "|", "$", "a=1"])
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
            3 => insert.indirect().max_idle(minute).max_life(minute).build(),
            4 => PersistenceCookie::rewrite("SRV").build(),
            _ => PersistenceCookie::prefix("SRV").build(),
        }
        .unwrap()
    })
}

fn headers(name: http::HeaderName, lines: &[Vec<u8>]) -> HeaderMap {
    lines.iter().map(|line| (name.clone(), HeaderValue::from_bytes(line).unwrap())).collect()
}

/// Names and values in order, but for ours and what goes with a cookie before it.
fn others(headers: &HeaderMap) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut others = Vec::new();
    for line in headers.get_all(COOKIE) {
        let line = line.as_bytes();
        for pair in Pairs::new(line) {
            let (name, value) = (line[pair.name].to_vec(), pair.assigned.map(|assigned| line[assigned.value].to_vec()));
            let ours = name == b"SRV" && value.is_some();
            let empty = name.is_empty() && value.is_none();
            if !ours && !empty && !name.starts_with(b"$") {
                others.push((name, value));
            }
        }
    }
    others
}

proptest! {
    #[test]
    fn other_cookies_stay_what_and_where_they_are(lines in lines(), cookie in any_cookie()) {
        // What the endpoint's part of a prefixed value holds is the client's doing; a quote in it is an opened one.
        prop_assume!(cookie.mode() != CookieMode::Prefix || !lines.concat().contains(&b'"'));
        let mut headers = headers(COOKIE, &lines);
        let before = others(&headers);
        cookie.on_request(&mut headers, at(NOW), whose);
        prop_assert_eq!(others(&headers), before);
    }

    #[test]
    fn nothing_of_an_indirect_cookie_gets_through(lines in lines()) {
        let cookie = PersistenceCookie::insert("SRV").indirect().build().unwrap();
        let mut headers = headers(COOKIE, &lines);
        cookie.on_request(&mut headers, at(NOW), whose);
        let once = headers.clone();
        let (endpoint, presented) = cookie.on_request(&mut headers, at(NOW), whose);
        prop_assert_eq!(endpoint, None);
        prop_assert_eq!(presented.outcome(), CookieOutcome::Absent);
        prop_assert_eq!(headers, once);
    }

    #[test]
    fn to_disregard_a_cookie_leaves_what_the_endpoint_sees(lines in lines(), cookie in any_cookie()) {
        let (mut read, mut disregarded) = (headers(COOKIE, &lines), headers(COOKIE, &lines));
        cookie.on_request(&mut read, at(NOW), whose);
        cookie.disregard(&mut disregarded);
        prop_assert_eq!(read, disregarded);
    }

    #[test]
    fn other_set_cookie_lines_stay(lines in lines(), cookie in any_cookie(), kept: bool, named: bool) {
        let mut response = headers(SET_COOKIE, &lines);
        let value = cookie.value("B").unwrap();
        let served = Served {
            presented: Presented::default(),
            kept,
            value: named.then_some(&value),
            method: &Method::GET,
            now: at(NOW),
        };
        cookie.on_response(served, StatusCode::OK, &mut response);
        let others = |headers: &HeaderMap| -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
            let parted = |line: &HeaderValue| {
                let line = line.as_bytes();
                let pair = set_cookie(line);
                (line[pair.name].to_vec(), pair.assigned.map(|assigned| line[assigned.value.start..].to_vec()))
            };
            let ours = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| name == b"SRV" && value.is_some();
            headers.get_all(SET_COOKIE).iter().map(parted).filter(|pair| !ours(pair)).collect()
        };
        prop_assert_eq!(others(&response), others(&headers(SET_COOKIE, &lines)));
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
        let presented = Presented::default();
        let served = Served { presented, kept: false, value: Some(&value), method: &Method::GET, now: at(now) };
        cookie.on_response(served, StatusCode::OK, &mut response);
        let set = response[SET_COOKIE].to_str().unwrap();
        prop_assert_eq!(response.get_all(SET_COOKIE).iter().count(), 1);
        let (pair, attributes) = set.split_once(';').unwrap();
        prop_assert!(!pair.contains([' ', ',', '"', '\\']), "{}", set);
        prop_assert!(attributes.eq_ignore_ascii_case(" path=/") || attributes == " path=/; HttpOnly");

        let line = if around { format!("a=1; {pair}; b=2") } else { pair.to_owned() };
        let mut request = cookies(&[&line]);
        let known = |value: &[u8]| if value == id.as_bytes() { Claim::Endpoint(()) } else { Claim::Unknown };
        let (endpoint, presented) = cookie.on_request(&mut request, at(now + later), known);
        prop_assert_eq!(endpoint, Some(()));
        prop_assert_eq!(presented.outcome(), CookieOutcome::Valid);

        let mut response = HeaderMap::new();
        let served = Served { presented, kept: true, value: Some(&value), method: &Method::GET, now: at(now) };
        prop_assert_eq!(cookie.on_response(served, StatusCode::OK, &mut response), CookieAction::Nothing);
    }
}
