use std::sync::Arc;

use super::{
    exemplar::{self, Exemplars, ReadExemplars},
    format::Format,
    text,
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
    next: usize,
}

impl Pieces {
    pub(super) fn new(start: String, readout: Arc<Readout>, format: Format, exemplars: Option<&ReadExemplars>) -> Self {
        let exemplars = exemplars.map(|read| Exemplars::of(&readout, read));
        Self { start, families: text::count(&readout), readout, format, exemplars, next: 0 }
    }

    /// Writes the next piece, such as a family. Returns whether more may follow.
    pub(super) fn write(&mut self, out: &mut String) -> bool {
        out.push_str(&std::mem::take(&mut self.start));
        let number = self.next;
        if number >= self.families {
            // Writing to a string cannot fail, nor can the encoding of numbers.
            let _ = text::write_end(out, self.format);
            return false;
        }
        self.next += 1;
        match &self.exemplars {
            None => {
                let _ = text::write_family(out, &self.readout, number, self.format);
            }
            Some(exemplars) => {
                let mut family = String::new();
                let _ = text::write_family(&mut family, &self.readout, number, self.format);
                exemplar::add(&mut family, &self.readout, number, exemplars);
                out.push_str(&family);
            }
        }
        true
    }
}
