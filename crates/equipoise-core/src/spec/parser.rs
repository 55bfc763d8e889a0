use super::{
    InvalidText, Kind, Parameter, Preset,
    scanner::Scanner,
    vocabulary::{Argument, Definition, MAX_DEPTH, Settings, Spec, Vocabulary},
};

impl<V: Vocabulary> Spec<V> {
    /// Parses a spec and checks its values.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidText`] for the first error in the text.
    pub fn parse(text: &str) -> Result<Self, InvalidText<V>> {
        let mut scanner = Scanner::new(text);
        let spec = Self::read(&mut scanner, 1)?;
        scanner.end()?;
        Ok(spec)
    }

    fn read(scanner: &mut Scanner<'_>, depth: usize) -> Result<Self, InvalidText<V>> {
        scanner.space();
        let begin = scanner.byte();
        if depth > MAX_DEPTH {
            return Err(InvalidText::TooDeep { at: scanner.position(begin) });
        }
        let name = scanner.word();
        if name.is_empty() {
            return Err(scanner.expected(V::EXPECTED).into());
        }
        let Some(definition) = Definition::named(name) else {
            return Err(InvalidText::UnknownName { name: name.to_owned(), at: scanner.position(begin) });
        };
        let mut call = Call { spec: Self::of(definition), begin, begins: vec![begin; definition.parameters().len()] };
        if scanner.takes('(') && !scanner.takes(')') {
            call.arguments(scanner, depth)?;
        }
        call.complete(scanner)
    }
}

/// A spec of which the part in brackets is being parsed.
struct Call<V: Vocabulary> {
    spec: Spec<V>,
    /// The position of its name in the text, in bytes.
    begin: usize,
    /// For each parameter, the position in the text at which it is set. For a parameter that is not set: the position
    /// of the name.
    begins: Vec<usize>,
}

impl<V: Vocabulary> Call<V> {
    /// Parses everything between the brackets, and the closing bracket.
    fn arguments(&mut self, scanner: &mut Scanner<'_>, depth: usize) -> Result<(), InvalidText<V>> {
        let definition = self.spec.definition;
        loop {
            scanner.space();
            let begin = scanner.byte();
            let word = scanner.word();
            if word.is_empty() {
                let expected = if definition.wraps() { "a strategy or a parameter" } else { "a parameter" };
                return Err(scanner.expected(expected).into());
            }
            match definition.position(word) {
                Some(index) => self.parameter(scanner, index, begin, depth)?,
                None => self.unnamed(scanner, word, begin, depth)?,
            }
            if scanner.takes(')') {
                return Ok(());
            }
            if !scanner.takes(',') {
                return Err(scanner.expected("\",\" or \")\"").into());
            }
        }
    }

    /// Parses the rest of an argument after the name of a known parameter.
    fn parameter(
        &mut self,
        scanner: &mut Scanner<'_>,
        index: usize,
        begin: usize,
        depth: usize,
    ) -> Result<(), InvalidText<V>> {
        let definition = self.spec.definition;
        let parameter = &definition.parameters()[index];
        let argument = &mut self.spec.arguments[index];
        if argument.is_some() {
            return Err(InvalidText::RepeatedParameter { definition, parameter, at: scanner.position(begin) });
        }
        self.begins[index] = begin;
        if !scanner.takes('=') {
            if parameter.kind != Kind::Flag {
                return Err(scanner.expected("\"=\" and a value").into());
            }
            *argument = Some(Argument::FLAG);
            return Ok(());
        }
        scanner.space();
        let begin = scanner.byte();
        *argument = Argument::read(scanner, parameter.kind, depth)?;
        if argument.is_some() {
            return Ok(());
        }
        let value = if parameter.secret { "…" } else { scanner.read_since(begin).trim_end() };
        let (value, at) = (value.to_owned(), scanner.position(begin));
        Err(InvalidText::InvalidValue { definition, parameter, value, at })
    }

    /// Parses an argument that begins with a word which is not a parameter: a wrapped strategy, or an error.
    fn unnamed(
        &mut self,
        scanner: &mut Scanner<'_>,
        word: &str,
        begin: usize,
        depth: usize,
    ) -> Result<(), InvalidText<V>> {
        let definition = self.spec.definition;
        let wrapping = V::definitions().iter().any(Definition::wraps);
        if !wrapping || scanner.takes('=') {
            let (parameter, at) = (word.to_owned(), scanner.position(begin));
            return Err(InvalidText::UnknownParameter { definition, parameter, at });
        }
        if !definition.wraps() || self.spec.inner.is_some() {
            let (found, at) = (word.to_owned(), scanner.position(begin));
            return Err(InvalidText::Misplaced { definition, found, at });
        }
        scanner.back_to(begin);
        self.spec.inner = Some(Box::new(Spec::read(scanner, depth + 1)?));
        Ok(())
    }

    /// Refuses specs with missing or contradicting values. Removes arguments that equal their defaults, so that specs
    /// with equal settings are equal.
    fn complete(self, scanner: &Scanner<'_>) -> Result<Spec<V>, InvalidText<V>> {
        let Self { mut spec, begin, begins } = self;
        let definition = spec.definition;
        if definition.wraps() && spec.inner.is_none() {
            return Err(InvalidText::NothingWrapped { definition, at: scanner.position(begin) });
        }
        for (parameter, argument) in definition.parameters().iter().zip(&spec.arguments) {
            if argument.is_none() && parameter.preset == Preset::Required {
                return Err(InvalidText::MissingParameter { definition, parameter, at: scanner.position(begin) });
            }
        }
        if let Err(reason) = V::check(&Settings::of(&spec)) {
            let index = V::refused_parameter(&reason).and_then(|parameter| definition.position(parameter));
            let at = scanner.position(index.map_or(begin, |index| begins[index]));
            return Err(InvalidText::Refused { definition, at, reason });
        }
        for (parameter, argument) in definition.parameters().iter().zip(&mut spec.arguments) {
            if argument.is_some() && *argument == Argument::preset(parameter) {
                *argument = None;
            }
        }
        Ok(spec)
    }
}

impl<V: Vocabulary> Argument<V> {
    /// Reads the next value. Returns `None` if the next text is not of this kind.
    fn read(scanner: &mut Scanner<'_>, kind: Kind, depth: usize) -> Result<Option<Self>, InvalidText<V>> {
        if kind == Kind::Strategy {
            return Ok(Some(Self::Spec(Box::new(Spec::read(scanner, depth + 1)?))));
        }
        Ok(kind.read(scanner)?.map(Self::Value))
    }

    /// Returns the default of a parameter, if it has one.
    fn preset(parameter: &Parameter) -> Option<Self> {
        let Preset::Is(text) = parameter.preset else { return None };
        Self::read(&mut Scanner::new(text), parameter.kind, 1).ok().flatten()
    }
}
