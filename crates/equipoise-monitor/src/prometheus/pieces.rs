use std::sync::Arc;

use super::{
    exemplar::{self, Exemplars, ReadExemplars},
    format::Format,
    text::{self, Part},
};
use crate::metric::Readout;

/// An answer that is written piece by piece.
pub(super) struct Pieces {
    /// What was encoded at the start.
    start: String,
    readout: Arc<Readout>,
    format: Format,
    exemplars: Option<Exemplars>,
    families: usize,
    next: Part,
}

impl Pieces {
    pub(super) fn new(start: String, readout: Arc<Readout>, format: Format, exemplars: Option<&ReadExemplars>) -> Self {
        let exemplars = exemplars.map(|read| Exemplars::of(&readout, read));
        Self { start, families: text::count(&readout), readout, format, exemplars, next: Part { family: 0, skip: 0 } }
    }

    /// Writes the next piece: a family, or a part of it. Returns whether more may follow.
    pub(super) fn write(&mut self, out: &mut String) -> bool {
        out.push_str(&std::mem::take(&mut self.start));
        let part = self.next;
        if part.family >= self.families {
            // Writing to a string cannot fail, nor can the encoding of numbers.
            let _ = text::write_end(out, self.format);
            return false;
        }
        let next = match &self.exemplars {
            None => text::write_part(out, &self.readout, part, self.format),
            Some(exemplars) => {
                let mut text = String::new();
                let next = text::write_part(&mut text, &self.readout, part, self.format);
                exemplar::add(&mut text, &self.readout, part, exemplars);
                out.push_str(&text);
                next
            }
        };
        self.next = next.ok().flatten().unwrap_or(Part { family: part.family + 1, skip: 0 });
        true
    }
}
