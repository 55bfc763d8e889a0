use std::num::NonZeroU8;

use crate::sync::{AtomicU32, Ordering};

/// Who may try an endpoint that is on trial: the holder of one pass, which is made anew with each renewal.
///
/// A byte whose lowest bit says that the pass is out, and the others which it is, so that a lease of an earlier trial
/// cannot give back the pass of a later one. (It could after 128 trials, and would let in one request too many.) The bit
/// above the byte says that the pool has [offered](Self::was_offered) this pass.
#[derive(Debug, Default)]
pub(crate) struct Trial(AtomicU32);

const OUT: u32 = 1;

const BYTE: u32 = 0xff;

const OFFERED: u32 = 1 << 8;

/// The right to the one lease, as the byte that stands while it is out: a pick has no room for more in its registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pass(NonZeroU8);

impl Trial {
    /// Makes a pass, whatever became of the last one.
    pub(crate) fn renew(&self) {
        let next = |now: u32| Some(((now | OUT) + 1) & BYTE);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Whether the pass is out, or was used up.
    pub(crate) fn is_out(&self) -> bool {
        self.0.load(Ordering::Relaxed) & OUT != 0
    }

    /// Takes the pass, if it is there.
    pub(crate) fn try_take(&self) -> Option<Pass> {
        let now = self.0.fetch_or(OUT, Ordering::Relaxed);
        NonZeroU8::new((now | OUT) as u8).filter(|_| now & OUT == 0).map(Pass)
    }

    /// Gives it back unused; one from before the last renewal is void.
    pub(crate) fn give_back(&self, Pass(mine): Pass) {
        let mine = u32::from(mine.get());
        let back = |now: u32| (now & BYTE == mine).then_some(now & !OUT);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, back);
    }

    /// Whether the pass is there and has not been offered since the last renewal.
    pub(crate) fn is_to_be_offered(&self) -> bool {
        self.0.load(Ordering::Relaxed) & (OUT | OFFERED) == 0
    }

    /// Notes that the pool has offered this pass. One from before the last renewal changes nothing.
    pub(crate) fn was_offered(&self, Pass(mine): Pass) {
        let mine = u32::from(mine.get());
        let offered = |now: u32| (now & BYTE == mine).then_some(now | OFFERED);
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, offered);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_taken_once_and_can_be_given_back() {
        let trial = Trial::default();
        let pass = trial.try_take().expect("nobody has it");
        assert!(trial.is_out() && trial.try_take().is_none());
        trial.give_back(pass);
        assert!(!trial.is_out() && trial.try_take().is_some());
    }

    #[test]
    fn a_pass_is_offered_once_and_again_when_it_was_renewed() {
        let trial = Trial::default();
        assert!(trial.is_to_be_offered());
        let old = trial.try_take().expect("nobody has it");
        trial.was_offered(old);
        trial.give_back(old);
        assert!(!trial.is_to_be_offered() && !trial.is_out());
        trial.renew();
        trial.was_offered(old);
        assert!(trial.is_to_be_offered());
    }

    #[test]
    fn a_pass_of_an_earlier_trial_is_void() {
        let trial = Trial::default();
        let old = trial.try_take().expect("nobody has it");
        trial.renew();
        let new = trial.try_take().expect("it was renewed");
        trial.give_back(old);
        assert!(trial.is_out());
        trial.give_back(new);
        trial.renew();
        assert!(!trial.is_out());
    }
}
