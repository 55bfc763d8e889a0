use std::collections::BTreeMap;

use equipoise_core::strategy::by_name::{Position, is_plain, time};

use super::{
    AffinitySpec, Definition, InvalidAffinity, Kind, Preset, Settings,
    value::{Value, WAITS},
};
use crate::{Fallback, scan};

pub(super) fn parse(text: &str) -> Result<AffinitySpec, InvalidAffinity> {
    let mut parser = Parser { text, byte: 0 };
    let spec = parser.mode()?;
    parser.space();
    match parser.peek() {
        None => Ok(spec),
        Some(_) => Err(parser.expected("the end")),
    }
}

/// What a text is as a value of this kind, if it is one.
pub(super) fn value(text: &str, kind: Kind) -> Option<Value> {
    Parser { text, byte: 0 }.value(kind).ok().flatten()
}

struct Parser<'a> {
    text: &'a str,
    byte: usize,
}

impl<'a> Parser<'a> {
    fn mode(&mut self) -> Result<AffinitySpec, InvalidAffinity> {
        self.space();
        let at = self.byte;
        let name = self.word();
        if name.is_empty() {
            return Err(self.expected("the name of a mode"));
        }
        let Some(definition) = Definition::named(name) else {
            return Err(InvalidAffinity::UnknownMode { name: name.to_owned(), at: self.position(at) });
        };
        let mut spec = AffinitySpec { definition, values: vec![None; definition.parameters().len()] };
        // Where each parameter stands, to say it of those that do not go together.
        let mut stands = vec![at; spec.values.len()];
        if self.takes('(') && !self.takes(')') {
            self.arguments(&mut spec, &mut stands)?;
        }
        self.complete(&mut spec, at, &stands)?;
        Ok(spec)
    }

    /// All between the brackets, and the closing one.
    fn arguments(&mut self, spec: &mut AffinitySpec, stands: &mut [usize]) -> Result<(), InvalidAffinity> {
        loop {
            self.space();
            let at = self.byte;
            let name = self.word();
            if name.is_empty() {
                return Err(self.expected("a parameter"));
            }
            self.parameter(spec, stands, name, at)?;
            if self.takes(')') {
                return Ok(());
            }
            if !self.takes(',') {
                return Err(self.expected("\",\" or \")\""));
            }
        }
    }

    /// What comes after a parameter's name.
    fn parameter(
        &mut self,
        spec: &mut AffinitySpec,
        stands: &mut [usize],
        name: &str,
        at: usize,
    ) -> Result<(), InvalidAffinity> {
        let mode = spec.name();
        let known = spec.definition.position(name).and_then(|index| {
            Some((spec.definition.parameters().get(index)?, spec.values.get_mut(index)?, stands.get_mut(index)?))
        });
        let Some((known, set, stands)) = known else {
            let (parameter, at) = (name.to_owned(), self.position(at));
            return Err(InvalidAffinity::UnknownParameter { mode, parameter, at });
        };
        let parameter = known.name();
        if set.is_some() {
            return Err(InvalidAffinity::RepeatedParameter { mode, parameter, at: self.position(at) });
        }
        *stands = at;
        if !self.takes('=') {
            if known.kind() != Kind::Flag {
                return Err(self.expected("\"=\" and a value"));
            }
            *set = Some(Value::Flag(true));
            return Ok(());
        }
        self.space();
        let begins = self.byte;
        *set = self.value(known.kind())?;
        if set.is_some() {
            return Ok(());
        }
        // Also what could never have been a value, so that the message shows it.
        let rest = self.text.get(begins..).unwrap_or_default();
        let given = match self.byte.saturating_sub(begins) {
            0 => rest.split([',', ')']).next(),
            length => rest.get(..length),
        };
        // A URL may have a password in it.
        let value = if parameter == "url" { "…" } else { given.unwrap_or_default().trim_end() };
        Err(InvalidAffinity::InvalidValue { mode, parameter, value: value.to_owned(), at: self.position(begins) })
    }

    /// Defaults that were spelled out are taken back; what is missing or does not go together is refused.
    fn complete(&self, spec: &mut AffinitySpec, at: usize, stands: &[usize]) -> Result<(), InvalidAffinity> {
        let (definition, mode) = (spec.definition, spec.name());
        for (known, value) in definition.parameters().iter().zip(&spec.values) {
            if value.is_none() && known.preset() == Preset::Required {
                let (parameter, at) = (known.name(), self.position(at));
                return Err(InvalidAffinity::MissingParameter { mode, parameter, at });
            }
        }
        if let Err(reason) = definition.make.check(&Settings::of(spec)) {
            let parameter = reason.parameter().and_then(|parameter| definition.position(parameter));
            let at = parameter.and_then(|index| stands.get(index)).unwrap_or(&at);
            return Err(InvalidAffinity::Refused { mode, at: self.position(*at), reason });
        }
        for (known, value) in definition.parameters().iter().zip(&mut spec.values) {
            if value.is_some() && *value == known.value() {
                *value = None;
            }
        }
        Ok(())
    }

    /// `None` if it is not of this kind.
    fn value(&mut self, kind: Kind) -> Result<Option<Value>, InvalidAffinity> {
        Ok(match kind {
            Kind::Text => self.text()?.map(Value::Text),
            Kind::Character => match self.text()?.as_deref().map(str::as_bytes) {
                Some([byte]) => Some(Value::Character(*byte)),
                _ => None,
            },
            Kind::List => self.list()?.map(Value::List),
            Kind::Names => self.names()?.map(Value::Names),
            Kind::Fallback => self.fallback()?.map(Value::Fallback),
            kind => kind.read(self.word()),
        })
    }

    /// In quotes or plain; `None` if neither.
    fn text(&mut self) -> Result<Option<String>, InvalidAffinity> {
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

    fn list(&mut self) -> Result<Option<Vec<String>>, InvalidAffinity> {
        let mut texts = Vec::new();
        let there = self.braced(|parser| {
            texts.push(parser.text()?.ok_or_else(|| parser.expected("a text"))?);
            Ok(())
        })?;
        Ok(there.then_some(texts))
    }

    fn names(&mut self) -> Result<Option<BTreeMap<String, String>>, InvalidAffinity> {
        let mut names = BTreeMap::new();
        let there = self.braced(|parser| {
            let begins = parser.byte;
            let name = parser.text()?.ok_or_else(|| parser.expected("a name"))?;
            if !parser.takes('=') {
                return Err(parser.expected("\"=\" and a text"));
            }
            parser.space();
            let text = parser.text()?.ok_or_else(|| parser.expected("a text"))?;
            if names.insert(name, text).is_some() {
                parser.byte = begins;
                return Err(parser.expected("another name: this one has a text"));
            }
            Ok(())
        })?;
        Ok(there.then_some(names))
    }

    /// Items in curly brackets with commas between them; `false` if there is no bracket.
    fn braced(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), InvalidAffinity>,
    ) -> Result<bool, InvalidAffinity> {
        if !self.takes('{') {
            return Ok(false);
        }
        if self.takes('}') {
            return Ok(true);
        }
        loop {
            self.space();
            item(self)?;
            if self.takes('}') {
                return Ok(true);
            }
            if !self.takes(',') {
                return Err(self.expected("\",\" or \"}\""));
            }
        }
    }

    fn fallback(&mut self) -> Result<Option<Fallback>, InvalidAffinity> {
        Ok(match self.word() {
            "rebind" => Some(Fallback::Rebind),
            "refuse" => Some(Fallback::Refuse),
            "wait" => {
                if !self.takes('(') {
                    return Err(self.expected("\"(\" and a time"));
                }
                self.space();
                let longest = time::read(self.word());
                if !self.takes(')') {
                    return Err(self.expected("a time and \")\""));
                }
                let (from, to) = WAITS;
                longest.filter(|longest| (from..=to).contains(longest)).map(Fallback::Wait)
            }
            _ => None,
        })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.byte..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = scan::look(self.peek()?);
        self.byte += next.len_utf8();
        Some(next)
    }

    fn while_is(&mut self, holds: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let passed = rest.split(|c| !holds(scan::look(c))).next().unwrap_or_default();
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
        Position { byte, character: self.text.get(..byte).unwrap_or_default().chars().map(scan::look).count() }
    }

    fn expected(&self, expected: &'static str) -> InvalidAffinity {
        InvalidAffinity::Syntax { expected, found: self.peek(), at: self.position(self.byte) }
    }
}
