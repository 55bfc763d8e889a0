//! The frames of zstd (RFC 8878), as far as their windows are concerned. Decoders allocate the window that a frame
//! demands, and that of tower-http accepts 128 MiB.

/// The largest window of zstd as a content coding (RFC 9659).
const MAX_WINDOW: u64 = 8 << 20;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Follows the frames of a body, without decoding them.
#[derive(Debug, Default)]
pub(super) struct Frames {
    next: Part,
    /// What was read of the next part.
    read: Vec<u8>,
    /// The number of bytes before the next part: the content of blocks, checksums, and frames that are skipped.
    skip: u64,
    has_checksum: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Part {
    #[default]
    Magic,
    /// The length of a frame that is skipped.
    Skippable,
    Header,
    Block,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    /// A window is larger than permitted.
    Window,
}

impl Frames {
    /// Follows the next bytes. O(number of bytes of headers).
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        loop {
            let skipped = usize::try_from(self.skip).map_or(bytes.len(), |skip| skip.min(bytes.len()));
            self.skip -= skipped as u64;
            let Some((first, rest)) = bytes.get(skipped..).and_then(<[u8]>::split_first) else { return Ok(()) };
            bytes = rest;
            self.read.push(*first);
            if let Some(next) = self.after()? {
                self.next = next;
                self.read.clear();
            }
        }
    }

    /// Returns the part after the one that was read. `None` if it is not complete.
    fn after(&mut self) -> Result<Option<Part>, Fault> {
        match (self.next, &*self.read) {
            (Part::Magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) => Ok(Some(Part::Skippable)),
            (Part::Magic, read @ [_, _, _, _]) if *read == MAGIC => Ok(Some(Part::Header)),
            (Part::Magic, [_, _, _, _]) => Err(Fault::Malformed),
            (Part::Skippable, read @ [_, _, _, _]) => {
                self.skip = number(read);
                Ok(Some(Part::Magic))
            }
            (Part::Header, [descriptor, fields @ ..]) => {
                let is_single = descriptor & 1 << 5 != 0;
                let window = usize::from(!is_single);
                let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
                let content = match descriptor >> 6 {
                    0 => usize::from(is_single),
                    size => 1 << size,
                };
                if fields.len() < window + dictionary + content {
                    return Ok(None);
                }
                let size = match fields.first() {
                    Some(window) if !is_single => {
                        let base = 1_u64 << (10 + (window >> 3));
                        base + base / 8 * u64::from(window & 7)
                    }
                    // The window is the whole content, whose length in two bytes begins at 256.
                    _ => number(fields.get(dictionary..).unwrap_or_default()) + if content == 2 { 256 } else { 0 },
                };
                self.has_checksum = descriptor & 1 << 2 != 0;
                if size > MAX_WINDOW { Err(Fault::Window) } else { Ok(Some(Part::Block)) }
            }
            (Part::Block, read @ [_, _, _]) => {
                let header = number(read);
                self.skip = match header >> 1 & 3 {
                    // One byte that is repeated.
                    1 => 1,
                    0 | 2 => header >> 3,
                    _ => return Err(Fault::Malformed),
                };
                if header & 1 == 0 {
                    return Ok(Some(Part::Block));
                }
                self.skip += if self.has_checksum { 4 } else { 0 };
                Ok(Some(Part::Magic))
            }
            _ => Ok(None),
        }
    }
}

/// Returns a number of up to 8 bytes, of which the first one is the least significant.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::compression::{Encoding, tests::encoded};

    fn follow(bytes: &[u8]) -> Result<Frames, Fault> {
        let mut frames = Frames::default();
        frames.follow(bytes).map(|()| frames)
    }

    /// A frame with this header after its magic number, and a block of one byte.
    fn frame(header: &[u8]) -> Vec<u8> {
        [&MAGIC[..], header, &[1 | 1 << 3, 0, 0, b'x']].concat()
    }

    #[test]
    fn a_window_of_more_than_8_mib_is_refused() {
        let window = |log: u8, eighths: u8| frame(&[0, (log - 10) << 3 | eighths]);
        for accepted in [window(10, 0), window(22, 7), window(23, 0)] {
            assert!(follow(&accepted).is_ok());
        }
        for refused in [window(23, 1), window(24, 0), window(27, 0), window(41, 7)] {
            assert_eq!(follow(&refused).map(drop), Err(Fault::Window));
        }
    }

    #[test]
    fn without_a_window_the_length_of_the_content_counts() {
        let single = 1 << 5;
        let long = |length: u64| frame(&[&[3 << 6 | single][..], &length.to_le_bytes()].concat());
        let with_dictionary =
            |length: u32| frame(&[&[2 << 6 | single | 3, 1, 1, 1, 1][..], &length.to_le_bytes()].concat());
        for accepted in
            [frame(&[single, 255]), frame(&[1 << 6 | single, 255, 255]), long(8 << 20), with_dictionary(8 << 20)]
        {
            assert!(follow(&accepted).is_ok());
        }
        for refused in [long((8 << 20) + 1), long(u64::MAX), with_dictionary((8 << 20) + 1)] {
            assert_eq!(follow(&refused).map(drop), Err(Fault::Window));
        }
    }

    #[test]
    fn a_later_frame_is_looked_at_too() {
        let skipped = [0x5a, 0x2a, 0x4d, 0x18, 5, 0, 0, 0, 1, 2, 3, 4, 5];
        let first = [&skipped[..], &frame(&[1 << 2, 0]), &[0; 4]].concat();
        assert!(follow(&[first.clone(), frame(&[0, 0])].concat()).is_ok());
        assert_eq!(follow(&[first.clone(), frame(&[0, 0x78])].concat()).map(drop), Err(Fault::Window));
        assert_eq!(follow(&[first, b"not a frame".to_vec()].concat()).map(drop), Err(Fault::Malformed));
        assert_eq!(follow(&[&MAGIC[..], &[0, 0, 3 << 1, 0, 0]].concat()).map(drop), Err(Fault::Malformed));
    }

    #[tokio::test]
    async fn frames_of_an_encoder_end_where_they_are_expected_to() {
        for text in [String::new(), "a".repeat(1_000_000), (0..200_000).map(|number: u32| number.to_string()).collect()]
        {
            let frame = encoded(text, Encoding::Zstd).await;
            let frames = follow(&[&frame[..], &frame].concat()).expect("frames");
            assert!(matches!((frames.next, frames.read.len(), frames.skip), (Part::Magic, 0, 0)), "{frames:?}");
        }
    }

    proptest! {
        #[test]
        fn the_pieces_in_which_bytes_come_make_no_difference(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..60),
            at in 0..64_usize,
        ) {
            let bytes = [&MAGIC[..], &bytes].concat();
            let (one, other) = bytes.split_at(at.min(bytes.len()));
            let mut frames = Frames::default();
            let split = frames.follow(one).and_then(|()| frames.follow(other));
            prop_assert_eq!(split, follow(&bytes).map(drop));
        }
    }
}
