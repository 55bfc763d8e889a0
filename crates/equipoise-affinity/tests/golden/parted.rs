//! Where HAProxy sees other cookies than RFC 6265 does, said in words that mean the same to both.
//!
//! To HAProxy `,` parts the cookies of a `Cookie` line as `;` does, and ends the value in a `Set-Cookie` line; quotes in a
//! value hide both; and any name that begins with `$` says something about the cookie before it. What it did with such a
//! line tells what it does with one that has `;` for such a `,`, a dot for what quotes hide, and `$Path` for that name.

/// What had to be put otherwise.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Parted {
    /// A comma that parts.
    pub(crate) comma: bool,
    /// A delimiter that quotes hide.
    pub(crate) quote: bool,
    /// A name with `$` that is none of RFC 2965's.
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

/// Goes on with `=` and the value, if they are there. Answers what follows: nothing, or a delimiter first.
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
