//! Rewrites lines in which HAProxy finds other cookies than RFC 6265, so that both find the same cookies.
//!
//! In HAProxy, `,` separates the cookies of a `Cookie` line as `;` does, and ends the value in a `Set-Cookie` line. `,`
//! and `;` in quotes are part of a value. Each name that begins with `$` is an attribute of the cookie before it. A
//! rewritten line has `;` instead of a `,` that separates cookies, a dot instead of `,` and `;` in quotes, and `$Path`
//! instead of a name with `$`. HAProxy treats the original line and the rewritten line alike, so its recorded result
//! applies to both.

/// The differences that were rewritten.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Parted {
    /// A `,` that separates cookies.
    pub(crate) comma: bool,
    /// A `,` or `;` in quotes.
    pub(crate) quote: bool,
    /// A name with `$` that RFC 2965 does not define.
    pub(crate) dollar: bool,
}

pub(crate) fn parted_cookie(line: &str, parted: &mut Parted) -> String {
    let (mut new, mut rest) = (String::new(), line);
    loop {
        let name = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let (blank, word) = rest[..name].split_at(rest[..name].len() - rest[..name].trim_start().len());
        let known = ["$Version", "$Path"].contains(&word.trim_end());
        if word.starts_with('$') && !known {
            parted.dollar = true;
            new += blank;
            new += "$Path";
        } else {
            new += &rest[..name];
        }
        rest = value(&rest[name..], &mut new, parted);
        match rest.chars().next() {
            None => return new,
            Some(delimiter) => parted.comma |= delimiter == ',',
        }
        new.push(';');
        rest = &rest[1..];
    }
}

pub(crate) fn parted_set_cookie(line: &str, parted: &mut Parted) -> String {
    let name = line.find(['=', ';']).unwrap_or(line.len());
    let mut new = line[..name].to_owned();
    let rest = value(&line[name..], &mut new, parted);
    match rest.strip_prefix(',') {
        Some(rest) => {
            parted.comma = true;
            new + ";" + rest
        }
        None => new + rest,
    }
}

/// Copies `=` and the value, if they are there. Returns the rest of the text: it is empty or begins with a delimiter.
fn value<'a>(from: &'a str, new: &mut String, parted: &mut Parted) -> &'a str {
    let (mut quoted, mut escaped) = (false, false);
    if !from.starts_with('=') {
        return from;
    }
    for (at, character) in from.char_indices() {
        let delimits = matches!(character, ',' | ';');
        if delimits && !quoted {
            return &from[at..];
        }
        parted.quote |= delimits;
        new.push(if delimits { '.' } else { character });
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    ""
}
