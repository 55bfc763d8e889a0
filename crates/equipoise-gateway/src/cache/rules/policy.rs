//! Whether a response is stored, and for how long it is fresh (RFC 9111, 3 and 4.2).

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, EXPIRES, LAST_MODIFIED, SET_COOKIE,
        TRANSFER_ENCODING,
    },
};
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::{
    control::{self, ResponseControl},
    date,
    deception::contradicts_extension,
    fields::without_connection_fields,
    reason::NotStored,
    targeted, vary,
};
use crate::cache::store::{Head, Tag};

/// The stored response must be validated before each use.
pub(crate) const NO_CACHE: u32 = 1;
/// The stored response must not be used stale, whatever else allows it.
pub(crate) const NEVER_STALE: u32 = 2;
/// The stored response has a validator: `ETag` or `Last-Modified`.
pub(crate) const HAS_VALIDATOR: u32 = 4;

/// What a cache does with responses that set cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetCookie {
    /// Responses with `Set-Cookie` are not stored. This is the default: a cookie is usually meant for one client.
    #[default]
    Refuse,
    /// Responses are stored without `Set-Cookie`. Only the client of the fetch gets the cookie.
    Strip,
    /// Responses are stored with `Set-Cookie`, as RFC 9111 allows: all clients get the same cookie.
    Store,
}

/// The settings of the decisions.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// The part of the time since `Last-Modified`, and the longest time.
    pub(crate) heuristic: Option<(f32, Duration)>,
    pub(crate) stale_while_revalidate: Duration,
    pub(crate) stale_if_error: Duration,
    pub(crate) max_stale: Duration,
    pub(crate) keep_stale: Duration,
    pub(crate) set_cookie: SetCookie,
    pub(crate) refuse_deception: bool,
    pub(crate) targets: Vec<HeaderName>,
    pub(crate) tag_fields: Vec<HeaderName>,
    pub(crate) strip_tags: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            heuristic: None,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            max_stale: Duration::from_secs(7 * 86_400),
            keep_stale: Duration::from_secs(86_400),
            set_cookie: SetCookie::default(),
            refuse_deception: true,
            targets: vec![HeaderName::from_static("cdn-cache-control")],
            tag_fields: vec![HeaderName::from_static("cache-tag"), HeaderName::from_static("surrogate-key")],
            strip_tags: false,
        }
    }
}

/// What matters of a request when its response is judged.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// Whether only this client may get the response, unless it says otherwise.
    pub(crate) authorized: bool,
    pub(crate) no_store: bool,
}

impl Policy {
    /// Returns the head to store, or why the response is not stored.
    pub(crate) fn judge(
        &self,
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
        request_time: SystemTime,
        response_time: SystemTime,
    ) -> Result<Head, NotStored> {
        if asked.no_store {
            return Err(NotStored::RequestNoStore);
        }
        if asked.method != Method::GET || headers.contains_key(CONTENT_RANGE) && !status.is_success() {
            return Err(NotStored::Status);
        }
        let targeted = targeted::of(headers, &self.targets);
        let is_targeted = targeted.is_some();
        let control = targeted.unwrap_or_else(|| ResponseControl::of(headers));
        if control.private.is_whole() {
            return Err(NotStored::Private);
        }
        let has_cookie = headers.contains_key(SET_COOKIE);
        if has_cookie && self.set_cookie == SetCookie::Refuse {
            return Err(NotStored::SetCookie);
        }
        // An error page for a missing file is no secret.
        if self.refuse_deception && status.is_success() && contradicts_extension(&asked.path, headers) {
            return Err(NotStored::Deception);
        }
        let Some(names) = vary::names(headers) else { return Err(NotStored::VaryStar) };

        let fresh_for = self.lifetime(asked, status, headers, &control, is_targeted, response_time)?;
        let has_validator = headers.contains_key(ETAG) || date::field(headers, &LAST_MODIFIED).is_some();
        let initial_age = initial_age(headers, request_time, response_time);
        let never_stale = control.must_revalidate
            || control.proxy_revalidate
            || control.s_maxage.or_stale().is_some()
            || control.no_cache.is_whole();
        // A response that was never fresh is not given to other clients because of a setting: it may be for one client,
        // and the backend has not said that others may get it.
        let may_extend = !fresh_for.is_zero() || control.public;
        let stale = |value: control::Seconds, setting: Duration| {
            let setting = if may_extend { setting } else { Duration::ZERO };
            if never_stale {
                Duration::ZERO
            } else {
                value.valid().map_or(setting, Duration::from_secs).min(self.max_stale)
            }
        };

        let mut stored = without_connection_fields(headers);
        for name in control.no_cache.fields().iter().chain(control.private.fields()) {
            stored.remove(name);
        }
        if self.set_cookie == SetCookie::Strip {
            stored.remove(SET_COOKIE);
        }
        // The age is kept beside the fields.
        stored.remove(AGE);
        // The length of a chunked body does not count (RFC 9112, 6.3).
        if headers.contains_key(TRANSFER_ENCODING) {
            stored.remove(CONTENT_LENGTH);
        }
        if !stored.contains_key(DATE)
            && let Some(now) = date::format(response_time)
        {
            stored.insert(DATE, now);
        }
        let tags = self.tags(headers);
        if self.strip_tags {
            self.tag_fields.iter().for_each(|name| drop(stored.remove(name)));
        }

        stored.values_mut().for_each(|value| *value = vary::copied(value));
        let mut head = Head::new(status, stored, request_time, response_time);
        head.vary = vary::select(&names, &asked.headers);
        head.tags = tags;
        head.initial_age = initial_age;
        head.fresh_for = if control.no_cache.is_whole() { Duration::ZERO } else { fresh_for };
        head.stale_while_revalidate = stale(control.stale_while_revalidate, self.stale_while_revalidate);
        head.stale_if_error = stale(control.stale_if_error, self.stale_if_error);
        head.flags = if control.no_cache.is_whole() { NO_CACHE } else { 0 }
            | if never_stale { NEVER_STALE } else { 0 }
            | if has_validator { HAS_VALIDATOR } else { 0 };
        let left = head.fresh_for.saturating_sub(initial_age);
        let usable = left.saturating_add(head.stale_while_revalidate.max(head.stale_if_error));
        if usable.is_zero() && !has_validator {
            return Err(NotStored::NoFreshness);
        }
        let keep = if never_stale && !has_validator { Duration::ZERO } else { self.keep_stale };
        head.expires = response_time.checked_add(usable.max(left.saturating_add(keep)));
        Ok(head)
    }

    /// Returns how long the response is fresh, or why it is not stored, by `http-cache-semantics`.
    ///
    /// It gets a request and a response of its own, with the directives as this module has read them. Its parser does
    /// not know quoted strings, and it reads dates in one form only.
    fn lifetime(
        &self,
        asked: &Asked,
        status: StatusCode,
        headers: &HeaderMap,
        control: &ResponseControl,
        is_targeted: bool,
        response_time: SystemTime,
    ) -> Result<Duration, NotStored> {
        let mut directives = Vec::new();
        let understood = UNDERSTOOD.contains(&status.as_u16());
        // It does not know `must-understand`: then `no-store` counts only for an unknown status (RFC 9111, 5.2.2.3).
        if control.must_understand && !understood {
            return Err(NotStored::Status);
        }
        if control.no_store && !control.must_understand {
            return Err(NotStored::NoStore);
        }
        // `no-cache` and `proxy-revalidate` are left out: it would say that the response is never fresh. They are flags
        // of the head instead.
        if control.public {
            directives.push("public".to_owned());
        }
        if control.must_revalidate {
            directives.push("must-revalidate".to_owned());
        }
        if let Some(seconds) = control.s_maxage.or_stale() {
            directives.push(format!("s-maxage={seconds}"));
        }
        if let Some(seconds) = control.max_age.or_stale() {
            directives.push(format!("max-age={seconds}"));
        }
        let mut canonical = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&directives.join(", ")) {
            canonical.insert(CACHE_CONTROL, value);
        }
        let has_date = date::field(headers, &DATE);
        canonical.extend(has_date.and_then(date::format).map(|date| (DATE, date)));
        let mut explicit = control.s_maxage.or_stale().is_some() || control.max_age.or_stale().is_some();
        if !is_targeted && headers.contains_key(EXPIRES) {
            explicit = true;
            // Several lines, and a text that is no date, are in the past (RFC 9111, 5.3).
            let expires = date::field(headers, &EXPIRES).and_then(date::format);
            canonical.insert(EXPIRES, expires.unwrap_or(HeaderValue::from_static("0")));
        }
        if self.heuristic.is_some() && !explicit {
            let modified = date::field(headers, &LAST_MODIFIED).and_then(date::format);
            canonical.extend(modified.map(|date| (LAST_MODIFIED, date)));
        }
        if !status_may_be_stored(status) {
            return Err(NotStored::Status);
        }
        // It knows a list of statuses only. RFC 9111 (section 3) allows any final status with explicit freshness.
        // So does `public`, and then heuristic freshness too (RFC 9111, 4.2.2).
        let canonical_status = if explicit || control.public { StatusCode::OK } else { status };
        let mut request = Request::new(());
        if asked.authorized {
            request.headers_mut().insert(http::header::AUTHORIZATION, HeaderValue::from_static("x"));
        }
        let mut response = Response::new(());
        *response.status_mut() = canonical_status;
        *response.headers_mut() = canonical;
        let (fraction, longest) = self.heuristic.unwrap_or_default();
        let options = CacheOptions {
            shared: true,
            cache_heuristic: fraction,
            immutable_min_time_to_live: Duration::ZERO,
            ignore_cargo_cult: false,
        };
        let policy = CachePolicy::new_options(&request, &response, response_time, options);
        if !policy.is_storable() {
            let authorization = asked.authorized
                && !(control.public || control.must_revalidate || control.s_maxage.or_stale().is_some());
            return Err(if authorization { NotStored::Authorization } else { NotStored::Status });
        }
        let lifetime = policy.time_to_live(response_time).min(Duration::from_secs(control::MAX_SECONDS));
        Ok(if explicit { lifetime } else { lifetime.min(longest) })
    }

    fn tags(&self, headers: &HeaderMap) -> Vec<Tag> {
        let mut tags = Vec::new();
        for value in self.tag_fields.iter().flat_map(|name| headers.get_all(name)) {
            let texts =
                value.as_bytes().split(|byte| matches!(byte, b',' | b' ' | b'\t')).filter(|tag| !tag.is_empty());
            for tag in texts.filter_map(|tag| Tag::new(std::str::from_utf8(tag).ok()?)) {
                tags.push(tag);
                // One more than allowed, so that the store refuses the response instead of losing a tag.
                if tags.len() > Tag::MAX_PER_ENTRY {
                    return tags;
                }
            }
        }
        tags.sort_unstable();
        tags.dedup();
        tags
    }

    /// Returns the head of a stored response after a 304 or the response to `HEAD` has [updated](super::fields::updated)
    /// its fields (RFC 9111, 3.2), or why it cannot be stored any longer.
    pub(crate) fn refresh(
        &self,
        asked: &Asked,
        stored: &Head,
        headers: &HeaderMap,
        request_time: SystemTime,
        response_time: SystemTime,
    ) -> Result<Head, NotStored> {
        let asked = Asked { method: Method::GET, ..asked.clone() };
        let mut head = self.judge(&asked, stored.status, headers, request_time, response_time)?;
        if head.tags.is_empty() {
            // The fields with the tags were stripped when the response was stored.
            head.tags.clone_from(&stored.tags);
        }
        Ok(head)
    }
}

/// Whether a response is final and complete, and not about one request: its length, its condition, its range, its rate
/// (RFC 6585 forbids to store the last four).
fn status_may_be_stored(status: StatusCode) -> bool {
    let of_request = [408, 412, 413, 414, 416, 417, 425, 428, 429, 431, 511];
    status.as_u16() >= 200 && !matches!(status.as_u16(), 206 | 304) && !of_request.contains(&status.as_u16())
}

/// The statuses with a meaning that the cache knows (RFC 9110, 15, and its registry).
const UNDERSTOOD: &[u16] = &[
    200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 413,
    414, 415, 421, 422, 429, 431, 451, 500, 501, 502, 503, 504,
];

/// Returns `corrected_initial_age` (RFC 9111, 4.2.3): what `Age` says with the time that the request took, or the time
/// since `Date` if that is longer. The first number of `Age` counts; one that is no number is 0.
fn initial_age(headers: &HeaderMap, request_time: SystemTime, response_time: SystemTime) -> Duration {
    let first = headers.get(AGE).and_then(|value| value.as_bytes().split(|byte| *byte == b',').next());
    let age = first.and_then(|text| control::seconds(text.trim_ascii())).unwrap_or(0);
    let corrected = Duration::from_secs(age) + response_time.duration_since(request_time).unwrap_or_default();
    // A date has no parts of a second.
    let apparent = date::field(headers, &DATE)
        .and_then(|date| response_time.duration_since(date).ok())
        .map_or(0, |since| since.as_secs().min(control::MAX_SECONDS));
    corrected.max(Duration::from_secs(apparent))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn judge(policy: &Policy, headers: &HeaderMap) -> Result<Head, NotStored> {
        let asked = Asked {
            method: Method::GET,
            path: "/".to_owned(),
            headers: HeaderMap::new(),
            authorized: false,
            no_store: false,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        policy.judge(&asked, StatusCode::OK, headers, now, now)
    }

    #[test]
    fn a_stored_field_does_not_share_the_buffer_of_the_connection() {
        let buffer = Bytes::from(vec![b'a'; 10_000]);
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(ETAG, HeaderValue::from_maybe_shared(buffer.slice(5..10)).expect("a value"));
        let head = judge(&Policy::default(), &headers).expect("stored");
        drop(headers);
        assert_eq!(head.headers[ETAG], "aaaaa");
        assert!(buffer.is_unique());
    }

    #[test]
    fn stale_responses_can_be_kept_for_ever() {
        let longest = Duration::MAX;
        let policy = Policy {
            keep_stale: longest,
            max_stale: longest,
            stale_if_error: longest,
            stale_while_revalidate: longest,
            ..Policy::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(ETAG, HeaderValue::from_static("\"a\""));
        assert_eq!(judge(&policy, &headers).expect("stored").expires, None);
    }

    #[test]
    fn tags_are_separated_by_commas_and_spaces() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert("cache-tag", HeaderValue::from_static("b, a,b"));
        headers.insert("surrogate-key", HeaderValue::from_static("c  d"));
        let head = judge(&Policy::default(), &headers).expect("stored");
        assert_eq!(head.tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    proptest! {
        #[test]
        fn no_field_makes_a_response_fresh_for_longer_than_it_may_be(
            control in "[a-z\"=, 0-9-]{0,40}",
            expires in "[A-Za-z0-9:, ]{0,30}",
            age in "[0-9, -]{0,24}",
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [(CACHE_CONTROL, &control), (EXPIRES, &expires), (AGE, &age)] {
                headers.insert(name, HeaderValue::from_str(value).expect("a value"));
            }
            if let Ok(head) = judge(&Policy::default(), &headers) {
                prop_assert!(head.fresh_for <= Duration::from_secs(control::MAX_SECONDS));
                prop_assert!(head.initial_age <= Duration::from_secs(control::MAX_SECONDS));
            }
        }
    }
}
