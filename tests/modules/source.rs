//! Reads what a source file says about modules: its children, its `use` declarations and the paths in its items.

use std::collections::BTreeSet;

/// A module as its source file, or the braces after `mod name`, declares it. Items for tests only are left out.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Modules declared as `mod name;`.
    pub(crate) children: Vec<String>,
    /// Modules with their content in braces.
    pub(crate) inline: Vec<(String, Source)>,
    pub(crate) uses: Vec<Use>,
    /// Paths of at least two segments outside `use` declarations.
    pub(crate) paths: BTreeSet<Vec<String>>,
    /// Every word outside `use` declarations.
    pub(crate) words: BTreeSet<String>,
    /// The names of the items that the module defines.
    pub(crate) items: BTreeSet<String>,
}

/// One name that a `use` declaration brings in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) path: Vec<String>,
    /// The name in this module; `*` for all names of the path.
    pub(crate) name: String,
    pub(crate) is_public: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `::`
    Separator,
    Sign(u8),
}

/// Words before the name of an item.
const KEYWORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "type", "const", "static", "union"];

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let mut source = Self::default();
        source.read(&tokens(text));
        source
    }

    fn read(&mut self, tokens: &[Token<'_>]) {
        let mut at = 0;
        while at < tokens.len() {
            let begin = at;
            let mut is_for_tests = false;
            while tokens.get(at) == Some(&Token::Sign(b'#')) {
                let open = at + 1 + usize::from(tokens.get(at + 1) == Some(&Token::Sign(b'!')));
                let end = after_group(tokens, open);
                is_for_tests |= selects_tests(&tokens[open..end]);
                at = end;
            }
            let is_public = tokens.get(at) == Some(&Token::Word("pub"));
            if is_public {
                at += 1;
                if tokens.get(at) == Some(&Token::Sign(b'(')) {
                    at = after_group(tokens, at);
                }
            }
            let end = after_item(tokens, at);
            if !is_for_tests {
                self.item(&tokens[at..end], is_public);
            }
            at = end.max(begin + 1);
        }
    }

    fn item(&mut self, tokens: &[Token<'_>], is_public: bool) {
        match tokens {
            [Token::Word("use"), tree @ ..] => read_uses(tree, &[], is_public, &mut self.uses),
            [Token::Word("mod"), Token::Word(name), Token::Sign(b';')] => self.children.push((*name).to_owned()),
            [Token::Word("mod"), Token::Word(name), Token::Sign(b'{'), content @ .., Token::Sign(b'}')] => {
                let mut module = Self::default();
                module.read(content);
                self.inline.push(((*name).to_owned(), module));
            }
            [Token::Word("macro_rules"), _, Token::Word(name), rest @ ..] => {
                self.items.insert((*name).to_owned());
                self.content(rest);
            }
            _ => {
                let defined = tokens.iter().position(|token| matches!(token, Token::Word(w) if KEYWORDS.contains(w)));
                let names = defined.into_iter().flat_map(|at| &tokens[at..]).filter_map(|token| match token {
                    Token::Word(name) if !KEYWORDS.contains(name) => Some(*name),
                    _ => None,
                });
                self.items.extend(names.take(1).map(str::to_owned));
                self.content(tokens);
            }
        }
    }

    fn content(&mut self, tokens: &[Token<'_>]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let is_start = at == 0 || !matches!(tokens[at - 1], Token::Separator | Token::Sign(b'.' | b'$'));
            at += 1;
            let Token::Word(word) = *token else { continue };
            self.words.insert(word.to_owned());
            // `use` in the body of a function; `use<…>` in a type is followed by a sign.
            if word == "use" && matches!(tokens.get(at), Some(Token::Word(_))) {
                let end = at + tokens[at..].iter().position(|token| *token == Token::Sign(b';')).unwrap_or_default();
                read_uses(&tokens[at..end], &[], false, &mut self.uses);
                at = end;
            } else if is_start {
                let mut path = vec![word.to_owned()];
                while let Some([Token::Separator, Token::Word(next)]) = tokens.get(at..at + 2) {
                    self.words.insert((*next).to_owned());
                    path.push((*next).to_owned());
                    at += 2;
                }
                if path.len() > 1 {
                    self.paths.insert(path);
                }
            }
        }
    }
}

/// Whether an attribute is `cfg(test)` or `cfg(all(test, …))`, or leaves the item for documentation only.
fn selects_tests(attribute: &[Token<'_>]) -> bool {
    let words: Vec<_> =
        attribute.iter().filter_map(|token| if let Token::Word(w) = token { Some(*w) } else { None }).collect();
    matches!(*words, ["cfg", "test" | "doc"] | ["cfg", "all", "test", ..])
}

/// Where the item ends that begins at `at`.
fn after_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    let is_value = match tokens.get(at..) {
        Some([Token::Word("const"), Token::Word("fn" | "unsafe" | "async" | "extern"), ..]) => false,
        Some([Token::Word("const" | "static" | "use" | "type"), ..]) => true,
        _ => false,
    };
    while let Some(token) = tokens.get(at) {
        match token {
            Token::Sign(b';') => return at + 1,
            Token::Sign(b'(' | b'[') => at = after_group(tokens, at),
            Token::Sign(b'{') => {
                at = after_group(tokens, at);
                if !is_value {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// Where the group in brackets ends that begins at `at`.
fn after_group(tokens: &[Token<'_>], at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens[at..].iter().enumerate() {
        match token {
            Token::Sign(b'(' | b'[' | b'{') => depth += 1,
            Token::Sign(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + offset + 1;
        }
    }
    tokens.len()
}

/// Reads the tree after `use`.
fn read_uses(tree: &[Token<'_>], prefix: &[String], is_public: bool, uses: &mut Vec<Use>) {
    let mut path = prefix.to_vec();
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(Token::Separator) => at += 1,
            Some(Token::Word("as")) => {
                if let Some(Token::Word(name)) = tree.get(at + 1) {
                    uses.push(Use { path, name: (*name).to_owned(), is_public });
                }
                return;
            }
            Some(Token::Word(word)) => {
                // `self` in braces is the path before the braces.
                if *word != "self" || path.is_empty() {
                    path.push((*word).to_owned());
                }
                at += 1;
            }
            Some(Token::Sign(b'*')) => {
                uses.push(Use { path, name: "*".to_owned(), is_public });
                return;
            }
            Some(Token::Sign(b'{')) => {
                let end = after_group(tree, at);
                let mut branch = at + 1;
                let mut next = branch;
                while next < end {
                    match tree[next] {
                        Token::Sign(b'{') => next = after_group(tree, next),
                        Token::Sign(b',' | b'}') => {
                            if branch < next {
                                read_uses(&tree[branch..next], &path, is_public, uses);
                            }
                            next += 1;
                            branch = next;
                        }
                        _ => next += 1,
                    }
                }
                return;
            }
            _ => {
                if let Some(name) = path.last().cloned() {
                    uses.push(Use { path, name, is_public });
                }
                return;
            }
        }
    }
}

/// The words and signs of a text, without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        match bytes[at] {
            b'/' if rest.starts_with("//") => at += rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => at += comment_len(rest),
            b'"' => at += string_len(rest),
            b'\'' => at += quote_len(rest),
            b'r' | b'b' | b'c' if literal_len(rest).is_some() => at += literal_len(rest).unwrap_or(1),
            b':' if rest.starts_with("::") => {
                tokens.push(Token::Separator);
                at += 2;
            }
            byte if byte == b'_' || byte.is_ascii_alphanumeric() => {
                let raw = if rest.starts_with("r#") { 2 } else { 0 };
                let word = &rest[raw..];
                let len = word.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(word.len());
                tokens.push(Token::Word(&word[..len]));
                at += raw + len;
            }
            byte => {
                if byte.is_ascii_punctuation() {
                    tokens.push(Token::Sign(byte));
                }
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
    }
    tokens
}

fn comment_len(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            let Some(c) = rest.chars().next() else { return at };
            at += c.len_utf8();
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The length of a string literal with escapes.
fn string_len(text: &str) -> usize {
    let mut is_escaped = true;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal, or of a lifetime.
fn quote_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let end = text[3..].find('\'').map_or(text.len(), |end| 3 + end + 1);
            if text[2..].starts_with("\\'") { end.max(4) } else { end }
        }
        Some((at, c)) if text[at + c.len_utf8()..].starts_with('\'') => at + c.len_utf8() + 1,
        _ => 1 + text[1..].find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len() - 1),
    }
}

/// The length of a literal with a prefix, such as `b"…"`, `b'…'` or `r#"…"#`.
fn literal_len(text: &str) -> Option<usize> {
    let prefix = text.find(|c: char| !"rbc".contains(c))?;
    let rest = &text[prefix..];
    if prefix > 2 {
        return None;
    }
    if text[..prefix].contains('r') {
        let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
        let content = rest[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", &rest[..hashes]);
        return Some(prefix + hashes + 1 + content.find(&close)? + close.len());
    }
    match rest.as_bytes().first()? {
        b'"' => Some(prefix + string_len(rest)),
        b'\'' if text.starts_with("b'") => Some(prefix + quote_len(rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(text: &str) -> Vec<(String, String, bool)> {
        let uses = Source::parse(text).uses.into_iter();
        uses.map(|one| (one.path.join("::"), one.name, one.is_public)).collect()
    }

    fn owned(uses: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
        uses.iter().map(|(path, name, is_public)| ((*path).to_owned(), (*name).to_owned(), *is_public)).collect()
    }

    #[test]
    fn a_tree_of_uses_is_each_of_its_names() {
        let text = "pub(crate) use crate::{a::{self, B as C, d::*}, E}; use super::F;";
        let named = [
            ("crate::a", "a", true),
            ("crate::a::B", "C", true),
            ("crate::a::d", "*", true),
            ("crate::E", "E", true),
            ("super::F", "F", false),
        ];
        assert_eq!(uses(text), owned(&named));
    }

    #[test]
    fn items_for_tests_and_comments_and_literals_are_left_out() {
        let text = r##"
            #[cfg(test)] mod tests; #[cfg(all(test, not(loom)))] mod more { use crate::x; }
            #[cfg(feature = "f")] mod kept; #[cfg(test)] fn f() { crate::a::b() }
            // crate::c::d
            /* crate::e::f /* nested */ crate::g::h */
            /// crate::i::j
            const TEXT: [&str; 3] = ["crate::k::l", r#"" crate::m::n"#, "\" crate::o::p"];
            fn g<'a>(c: &'a char) -> bool { *c == '"' || *c == '\'' || *c == '\\' || kept::is(b'"', c) }
        "##;
        let source = Source::parse(text);
        assert_eq!(source.children, ["kept"]);
        assert!(source.inline.is_empty() && source.uses.is_empty(), "{source:?}");
        assert_eq!(source.paths.into_iter().map(|path| path.join("::")).collect::<Vec<_>>(), ["kept::is"]);
        assert_eq!(source.items.into_iter().collect::<Vec<_>>(), ["TEXT", "g"]);
    }

    #[test]
    fn uses_in_functions_count_and_what_follows_a_value_in_braces_is_another_item() {
        let text = "const A: B = B { c: 1 }; mod d { pub fn e() { use super::f::G; } } struct H(i::J);";
        let source = Source::parse(text);
        assert_eq!(source.inline[0].1.uses[0].path.join("::"), "super::f::G");
        assert_eq!(source.items.into_iter().collect::<Vec<_>>(), ["A", "H"]);
        assert!(source.paths.contains(&vec!["i".to_owned(), "J".to_owned()]));
    }
}
