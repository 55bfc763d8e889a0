use http::{HeaderMap, HeaderName, HeaderValue, header::Entry};

/// What becomes of a header line.
pub(super) enum Edit {
    Keep,
    Replace(Vec<u8>),
    Remove,
}

/// Goes through the lines of that name in order. Those that are kept are not touched.
pub(super) fn edit(headers: &mut HeaderMap, name: HeaderName, mut decide: impl FnMut(&[u8]) -> Edit) {
    let Ok(Entry::Occupied(mut lines)) = headers.try_entry(name) else { return };
    let mut gone = Vec::new();
    for (at, line) in lines.iter_mut().enumerate() {
        match decide(line.as_bytes()) {
            Edit::Keep => {}
            Edit::Replace(new) => replace(line, new),
            Edit::Remove => gone.push(at),
        }
    }
    if gone.is_empty() {
        return;
    }
    let stays = |at: &usize| gone.binary_search(at).is_err();
    let kept: Vec<_> = lines.iter().enumerate().filter(|(at, _)| stays(at)).map(|(_, line)| line.clone()).collect();
    let mut kept = kept.into_iter();
    match kept.next() {
        Some(first) => {
            lines.insert(first);
            kept.for_each(|line| lines.append(line));
        }
        None => {
            lines.remove();
        }
    }
}

fn replace(line: &mut HeaderValue, new: Vec<u8>) {
    // Made of bytes that were in a header, and of a value that was checked: it always can be one.
    if let Ok(mut new) = HeaderValue::try_from(new) {
        new.set_sensitive(line.is_sensitive());
        *line = new;
    }
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, HOST};

    use super::*;

    #[test]
    fn lines_that_go_leave_the_others_in_order() {
        let mut headers = HeaderMap::new();
        for line in ["a", "x", "b", "x", "c"] {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        headers.insert(HOST, HeaderValue::from_static("x"));
        edit(&mut headers, COOKIE, |line| if line == b"x" { Edit::Remove } else { Edit::Keep });
        assert!(headers.get_all(COOKIE).iter().eq(["a", "b", "c"]));
        edit(&mut headers, COOKIE, |_| Edit::Remove);
        assert!(!headers.contains_key(COOKIE));
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_line_that_is_replaced_stays_as_secret_as_it_was() {
        let mut headers = HeaderMap::new();
        let mut line = HeaderValue::from_static("a");
        line.set_sensitive(true);
        headers.insert(COOKIE, line);
        edit(&mut headers, COOKIE, |_| Edit::Replace(b"b".to_vec()));
        assert!(headers[COOKIE].is_sensitive() && headers[COOKIE] == "b");
    }
}
