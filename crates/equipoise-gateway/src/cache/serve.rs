//! Responses that are made of stored ones: the whole, parts, the head, or 304.

use std::time::SystemTime;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        EXPIRES, LAST_MODIFIED, RANGE,
    },
};

use super::{
    CacheBody,
    engine::Engine,
    rules::{
        conditional, freshness,
        range::{self, Part},
    },
    status::Handling,
    store::{self, Entry, Head, Key},
};

impl Engine {
    /// Makes a response of a stored one: the whole, parts, its head, or 304.
    pub(super) fn serve<R>(
        &self,
        method: &Method,
        request: &HeaderMap,
        key: &Key,
        entry: &Entry,
        handling: &Handling,
        now: SystemTime,
    ) -> Response<CacheBody<R>> {
        let head = entry.head();
        let mut response = self.head(head, key, handling, now);
        if conditional::is_not_modified(method, request, head.status, &head.headers) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            conditional::not_modified_fields(response.headers_mut());
            return response;
        }
        if method == Method::HEAD {
            return response;
        }
        let part = if head.status == StatusCode::OK
            && request.contains_key(RANGE)
            && conditional::range_applies(request, &head.headers)
        {
            range::of(request, entry.body().len())
        } else {
            Part::Whole
        };
        send_part(&mut response, entry.body(), part, &self.settings.policy.targets);
        response
    }

    /// Makes the head of a response of a stored one, with an empty body.
    pub(super) fn head<R>(
        &self,
        head: &Head,
        key: &Key,
        handling: &Handling,
        now: SystemTime,
    ) -> Response<CacheBody<R>> {
        let mut response = Response::new(CacheBody::empty());
        *response.status_mut() = head.status;
        let mut headers = head.headers.clone();
        headers.insert(AGE, freshness::age(head, now).as_secs().into());
        if head.status == StatusCode::OK && !headers.contains_key(ACCEPT_RANGES) {
            headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        }
        self.mark(handling, Some(key), &mut headers);
        *response.headers_mut() = headers;
        response
    }
}

/// Puts a part of a stored body into a response, which has the head of the whole. `targets` are the targeted fields.
fn send_part<R>(response: &mut Response<CacheBody<R>>, body: &store::Body, part: Part, targets: &[HeaderName]) {
    let len = body.len();
    match part {
        Part::Bytes { first, last } => {
            let part = last - first + 1;
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let headers = response.headers_mut();
            headers.insert(CONTENT_LENGTH, part.into());
            insert_text(headers, CONTENT_RANGE, &format!("bytes {first}-{last}/{len}"));
            *response.body_mut() = CacheBody::stored(body.clone(), first, part);
        }
        // The coding would be that of the message with all parts.
        Part::Several(ranges) if !response.headers().contains_key(CONTENT_ENCODING) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let boundary = format!("{:032x}", rand::random::<u128>());
            let content_type = response.headers().get(CONTENT_TYPE);
            let parts = ranges.iter().map(|&(first, last)| {
                let range = format!("bytes {first}-{last}/{len}");
                (part_head(&boundary, content_type, &range), first, last - first + 1)
            });
            let (body, len) = CacheBody::multipart(body, parts, format!("\r\n--{boundary}--\r\n").into());
            let headers = response.headers_mut();
            headers.insert(CONTENT_LENGTH, len.into());
            insert_text(headers, CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
            *response.body_mut() = body;
        }
        Part::Whole | Part::Several(_) => *response.body_mut() = CacheBody::stored(body.clone(), 0, len),
        Part::Unsatisfiable => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let headers = response.headers_mut();
            conditional::not_modified_fields(headers);
            // Another cache must not use it for other ranges, or as the response itself.
            [AGE, ETAG, EXPIRES, LAST_MODIFIED].iter().chain(targets).for_each(|name| drop(headers.remove(name)));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(CONTENT_LENGTH, 0.into());
            insert_text(headers, CONTENT_RANGE, &format!("bytes */{len}"));
        }
    }
}

/// Returns what comes in front of the bytes of one part (RFC 9110, 14.6).
fn part_head(boundary: &str, content_type: Option<&HeaderValue>, range: &str) -> Bytes {
    let mut head = format!("\r\n--{boundary}\r\n").into_bytes();
    if let Some(content_type) = content_type {
        head.extend_from_slice(b"content-type: ");
        head.extend_from_slice(content_type.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("content-range: {range}\r\n\r\n").as_bytes());
    head.into()
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
