/// A block of PEM (RFC 7468), with its lines `-----BEGIN …-----` and `-----END …-----`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block<'t> {
    pub(super) label: &'t str,
    pub(super) text: &'t str,
}

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

/// Returns the blocks of a text. A block without an end is left out, with all that follows. O(length of the text).
pub(super) fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find(BEGIN)?;
        let block = rest.get(start..)?;
        let after = block.get(BEGIN.len()..)?;
        let label = after.get(..after.find(DASHES)?)?;
        let body = after.get(label.len() + DASHES.len()..)?;
        let end = body.find("-----END ")?;
        let after_end = body.get(end + "-----END ".len()..)?;
        let last = after_end.find(DASHES)?;
        rest = after_end.get(last + DASHES.len()..)?;
        Some(Block { label, text: block.get(..block.len() - rest.len())? })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_are_found_in_any_text() {
        let text = "# one\n-----BEGIN A B-----\nxyz\n-----END A B-----\ntext\n-----BEGIN C-----\n-----END C----- -----BEGIN D-----";
        let found: Vec<_> = blocks(text).map(|block| (block.label, block.text.len())).collect();
        assert_eq!(found, [("A B", 41), ("C", 33)]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(-----BEGIN |-----END |-----|A|ü|\n){0,12}") {
            for block in blocks(&text) {
                prop_assert!(block.text.starts_with(BEGIN) && block.text.ends_with(DASHES));
            }
        }
    }
}
