//! Requests, read with another parser than the server's.

use crate::rig::{Accepted, Seen};

/// Reads a request with another parser than the server's. Returns it, and the bytes after it. `None` if it is malformed
/// or incomplete.
fn parsed(bytes: &[u8]) -> Option<(Accepted, &[u8])> {
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(bytes).ok()? else { return None };
    let field = |name: &str| head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|f| f.value);
    let (method, target) = (head.method?.to_owned(), head.path?.to_owned());
    let mut rest = bytes.get(end..)?;
    let mut body = Vec::new();
    if field("transfer-encoding").is_some() {
        loop {
            let httparse::Status::Complete((end, length)) = httparse::parse_chunk_size(rest).ok()? else { return None };
            rest = rest.get(end..)?;
            if length == 0 {
                let mut trailers = [httparse::EMPTY_HEADER; 256];
                let status = httparse::parse_headers(rest, &mut trailers).ok()?;
                let httparse::Status::Complete((end, _)) = status else { return None };
                rest = rest.get(end..)?;
                break;
            }
            let (data, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            body.extend_from_slice(data);
            rest = after.strip_prefix(b"\r\n")?;
        }
    } else if let Some(length) = field("content-length") {
        let length = std::str::from_utf8(length).ok()?.parse().ok()?;
        let (data, after) = rest.split_at_checked(length)?;
        (body, rest) = (data.to_vec(), after);
    }
    Some((Accepted { method, target, body }, rest))
}

/// Returns a request of the backend that the other parser does not read as the server has read it, or that bytes follow,
/// and what is wrong with it.
pub(crate) fn difference(seen: &Seen) -> Option<String> {
    // A request whose body is malformed is broken off, so it is not complete at the backend.
    let mut accepted = seen.accepted.iter();
    seen.upstream.iter().find_map(|request| match parsed(request) {
        None => Some(format!("malformed: {}", request.escape_ascii())),
        Some((_, rest)) if !rest.is_empty() => Some(format!("after the request: {}", rest.escape_ascii())),
        Some((message, _)) if !accepted.any(|accepted| *accepted == message) => {
            Some(format!("{message:?} in {:?}", seen.accepted))
        }
        Some(_) => None,
    })
}

/// Returns a request that the server's service got, and that the other parser does not read in the bytes of the client.
pub(crate) fn misread(bytes: &[u8], served: &[Accepted]) -> Option<String> {
    let mut rest = bytes;
    served.iter().find_map(|served| {
        let Some((read, after)) = parsed(rest) else {
            return Some(format!("{served:?} in {}", rest.escape_ascii()));
        };
        rest = after;
        // The server has the target as a URI.
        let target = read.target.parse::<http::Uri>().map(|target| target.to_string()).unwrap_or_default();
        let read = Accepted { target, ..read };
        (read != *served).then(|| format!("{served:?} instead of {read:?}"))
    })
}
