use std::collections::BTreeMap;

use super::{
    Definition, InvalidStrategy, Kind, Position, Preset, Settings, StrategySpec,
    value::{Value, is_plain, whole},
};

/// How deep strategies nest, the outermost counted: far more than makes sense, and little enough for any stack.
pub const DEEPEST: usize = 16;

pub(super) fn parse(text: &str) -> Result<StrategySpec, InvalidStrategy> {
    let mut parser = Parser { text, byte: 0 };
    let spec = parser.strategy(1)?;
    parser.space();
    match parser.peek() {
        None => Ok(spec),
        Some(_) => Err(parser.expected("the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    byte: usize,
}

impl<'a> Parser<'a> {
    fn strategy(&mut self, depth: usize) -> Result<StrategySpec, InvalidStrategy> {
        self.space();
        let at = self.byte;
        if depth > DEEPEST {
            return Err(InvalidStrategy::TooDeep { at: self.position(at) });
        }
        let name = self.word();
        if name.is_empty() {
            return Err(self.expected("the name of a strategy"));
        }
        let Some(definition) = Definition::named(name) else {
            return Err(InvalidStrategy::UnknownStrategy { name: name.to_owned(), at: self.position(at) });
        };
        let values = vec![None; definition.parameters().len()];
        let mut spec = StrategySpec { definition, inner: None, values };
        if self.takes('(') && !self.takes(')') {
            self.arguments(&mut spec, depth)?;
        }
        self.complete(&mut spec, at)?;
        Ok(spec)
    }

    /// All between the brackets, and the closing one.
    fn arguments(&mut self, spec: &mut StrategySpec, depth: usize) -> Result<(), InvalidStrategy> {
        let definition = spec.definition;
        loop {
            self.space();
            let at = self.byte;
            let word = self.word();
            if word.is_empty() {
                return Err(self.expected(if definition.wraps() {
                    "a strategy or a parameter"
                } else {
                    "a parameter"
                }));
            }
            if self.takes('=') {
                self.parameter(spec, word, at, depth)?;
            } else if definition.position(word).is_some() {
                return Err(self.expected("\"=\" and a value"));
            } else if definition.wraps() && spec.inner.is_none() {
                self.byte = at;
                spec.inner = Some(Box::new(self.strategy(depth + 1)?));
            } else {
                let (strategy, found, at) = (definition.name(), word.to_owned(), self.position(at));
                return Err(InvalidStrategy::Misplaced { strategy, found, at });
            }
            if self.takes(')') {
                return Ok(());
            }
            if !self.takes(',') {
                return Err(self.expected("\",\" or \")\""));
            }
        }
    }

    /// What comes after `name=`.
    fn parameter(
        &mut self,
        spec: &mut StrategySpec,
        name: &str,
        at: usize,
        depth: usize,
    ) -> Result<(), InvalidStrategy> {
        let strategy = spec.definition.name();
        let Some(index) = spec.definition.position(name) else {
            let (parameter, at) = (name.to_owned(), self.position(at));
            return Err(InvalidStrategy::UnknownParameter { strategy, parameter, at });
        };
        let known = &spec.definition.parameters()[index];
        let parameter = known.name();
        if spec.values[index].is_some() {
            return Err(InvalidStrategy::RepeatedParameter { strategy, parameter, at: self.position(at) });
        }
        self.space();
        let begins = self.byte;
        let value = match known.kind() {
            Kind::Strategy => Some(Value::Strategy(Box::new(self.strategy(depth + 1)?))),
            Kind::Text => self.text()?.map(Value::Text),
            Kind::Shares => self.shares()?.map(Value::Shares),
            kind => kind.read(self.word()),
        };
        let Some(value) = value else {
            // Also what could never have been a value, so that the message shows it.
            let rest = &self.text[begins..];
            let given = match self.byte {
                byte if byte > begins => &self.text[begins..byte],
                _ => &rest[..rest.find([',', ')']).unwrap_or(rest.len())],
            };
            let (value, at) = (given.trim_end().to_owned(), self.position(begins));
            return Err(InvalidStrategy::InvalidValue { strategy, parameter, value, at });
        };
        spec.values[index] = Some(value);
        Ok(())
    }

    /// Defaults that were spelled out are taken back; what is missing or does not go together is refused.
    fn complete(&self, spec: &mut StrategySpec, at: usize) -> Result<(), InvalidStrategy> {
        let (definition, strategy) = (spec.definition, spec.name());
        // Costs a look at all that stands before.
        let at = || self.position(at);
        if definition.wraps() && spec.inner.is_none() {
            return Err(InvalidStrategy::NothingWrapped { strategy, at: at() });
        }
        for (known, value) in definition.parameters().iter().zip(&mut spec.values) {
            if value.is_none() && known.preset() == Preset::Required {
                return Err(InvalidStrategy::MissingParameter { strategy, parameter: known.name(), at: at() });
            }
            if value.is_some() && *value == known.value() {
                *value = None;
            }
        }
        match (definition.make)(&Settings::on_trial(spec)) {
            Ok(_) => Ok(()),
            Err(reason) => Err(InvalidStrategy::Refused { strategy, at: at(), reason }),
        }
    }

    /// In quotes or plain; `None` if neither.
    fn text(&mut self) -> Result<Option<String>, InvalidStrategy> {
        if !self.takes('"') {
            let word = self.word();
            return Ok((!word.is_empty()).then(|| word.to_owned()));
        }
        let mut text = String::new();
        loop {
            let next = match self.next() {
                Some('"') => return Ok(Some(text)),
                Some('\\') => self.next(),
                next => next,
            };
            text.push(next.ok_or_else(|| self.expected("a closing quote"))?);
        }
    }

    fn shares(&mut self) -> Result<Option<BTreeMap<String, u32>>, InvalidStrategy> {
        let mut shares = BTreeMap::new();
        if !self.takes('{') {
            return Ok(None);
        }
        if self.takes('}') {
            return Ok(Some(shares));
        }
        loop {
            self.space();
            let Some(name) = self.text()? else { return Err(self.expected("a name")) };
            if !self.takes('=') {
                return Err(self.expected("\"=\" and a whole number"));
            }
            self.space();
            let begins = self.byte;
            let Some(share) = whole(self.word()).and_then(|share| share.try_into().ok()) else {
                self.byte = begins;
                return Err(self.expected("a whole number below 2^32"));
            };
            if shares.insert(name, share).is_some() {
                self.byte = begins;
                return Err(self.expected("the number of another name: this one has one"));
            }
            if self.takes('}') {
                return Ok(Some(shares));
            }
            if !self.takes(',') {
                return Err(self.expected("\",\" or \"}\""));
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.byte..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = look(self.peek()?);
        self.byte += next.len_utf8();
        Some(next)
    }

    fn while_is(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.byte..];
        let passed = &rest[..rest.find(|c| !holds(look(c))).unwrap_or(rest.len())];
        self.byte += passed.len();
        passed
    }

    fn space(&mut self) {
        self.while_is(char::is_whitespace);
    }

    fn word(&mut self) -> &'a str {
        self.while_is(is_plain)
    }

    /// Goes past `wanted` if it comes next, after white space.
    fn takes(&mut self, wanted: char) -> bool {
        self.space();
        let found = self.peek() == Some(wanted);
        if found {
            self.byte += wanted.len_utf8();
        }
        found
    }

    fn position(&self, byte: usize) -> Position {
        Position { byte, character: self.text[..byte].chars().map(look).count() }
    }

    fn expected(&self, expected: &'static str) -> InvalidStrategy {
        InvalidStrategy::Syntax { expected, found: self.peek(), at: self.position(self.byte) }
    }
}

/// A character that the parser looks at. In unit tests it is counted.
fn look(seen: char) -> char {
    #[cfg(test)]
    tests::count();
    seen
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static LOOKED_AT: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn count() {
        LOOKED_AT.set(LOOKED_AT.get() + 1);
    }

    fn work(text: &str) -> usize {
        let before = LOOKED_AT.get();
        let _ = parse(text);
        LOOKED_AT.get() - before
    }

    #[test]
    fn twice_the_text_is_twice_the_work() {
        let parts = [" ", "(", ",", "a", "a=b,", "\"", "\\\"", "{a=1},", "p2c(", "ring(fallback=", "ring(),", "\u{e4}"];
        for part in parts {
            for begin in
                ["", "p2c(choices=", "zone-aware(p2c, zone=", "zone-aware(p2c, zone=\"", "zone-aware(p2c, shares={"]
            {
                let of = |length: usize| format!("{begin}{}", part.repeat(length / part.len()));
                let (once, twice) = (work(&of(5_000)), work(&of(10_000)));
                assert!(once <= 4 * 5_100, "{begin}{part}: {once}");
                assert!(twice <= 2 * once + 100, "{begin}{part}: {once}, {twice}");
            }
        }
    }
}
