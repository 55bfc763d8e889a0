//! A random sample of keys.

use equipoise::{EndpointId, Entropy, SeededEntropy};

/// A sample of fixed size in which each key is with the same probability. Contains all keys until it is full.
///
/// Source: Vitter, *Random Sampling with a Reservoir*, 1985 (algorithm R).
pub(crate) struct Sample {
    keys: Vec<(Box<[u8]>, EndpointId)>,
    room: usize,
    offered: u64,
    entropy: SeededEntropy,
}

impl Sample {
    pub(crate) fn new(room: usize, seed: u64) -> Self {
        Self { keys: Vec::new(), room, offered: 0, entropy: SeededEntropy::new(seed) }
    }

    pub(crate) fn offer(&mut self, key: &[u8], owner: &EndpointId) {
        self.offered += 1;
        if self.keys.len() < self.room {
            self.keys.push((key.into(), owner.clone()));
            return;
        }
        let at = usize::try_from(self.entropy.next_u64() % self.offered);
        if let Some(kept) = at.ok().and_then(|at| self.keys.get_mut(at)) {
            *kept = (key.into(), owner.clone());
        }
    }

    /// Returns the keys with their endpoints.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&[u8], &EndpointId)> {
        self.keys.iter().map(|(key, owner)| (&**key, owner))
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_all(&self) -> bool {
        self.offered == self.keys.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_and_late_keys_are_kept_alike() {
        let (mut sample, owner) = (Sample::new(1000, 1), "a".into());
        (0..10_000u32).for_each(|key| sample.offer(&key.to_be_bytes(), &owner));
        let early = sample.keys().filter(|(key, _)| **key < *5000u32.to_be_bytes().as_slice()).count();
        // 500 expected, with a standard deviation of 15.
        assert!((440..=560).contains(&early) && sample.len() == 1000 && !sample.is_all(), "{early}");
    }

    #[test]
    fn few_keys_are_all_kept() {
        let (mut sample, owner) = (Sample::new(3, 1), "a".into());
        [b"1", b"2", b"3"].iter().for_each(|key| sample.offer(*key, &owner));
        assert!(sample.is_all());
        assert!(sample.keys().eq([(&b"1"[..], &owner), (b"2", &owner), (b"3", &owner)]));
    }
}
