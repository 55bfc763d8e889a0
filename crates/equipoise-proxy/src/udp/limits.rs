//! The limits on the number of sessions, which all listeners of a proxy share.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use equipoise_core::SourceKey;
use parking_lot::Mutex;

/// The numbers of open sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: AtomicUsize,
    /// The sources that have sessions, if their number is limited.
    by_source: Mutex<HashMap<SourceKey, usize>>,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtLimit {
    All,
    Source,
}

/// The right to be one of the open sessions. It is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    sessions: Arc<Sessions>,
    source: Option<SourceKey>,
}

impl Sessions {
    pub(super) fn open(&self) -> usize {
        self.all.load(Ordering::Relaxed)
    }

    /// Takes a permit, if there are less than `max` sessions, and less than the maximum of this source.
    pub(super) fn permit(self: &Arc<Self>, max: usize, source: Option<(SourceKey, usize)>) -> Result<Permit, AtLimit> {
        // Before the other limit, at which a session may be closed for this one.
        let source = match source {
            Some((source, max)) => {
                let mut by_source = self.by_source.lock();
                let open = by_source.entry(source).or_default();
                if *open >= max {
                    return Err(AtLimit::Source);
                }
                *open += 1;
                Some(source)
            }
            None => None,
        };
        let below = |open: usize| (open < max).then_some(open + 1);
        match self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below) {
            Ok(_) => Ok(Permit { sessions: Arc::clone(self), source }),
            Err(_) => {
                self.leave_source(source);
                Err(AtLimit::All)
            }
        }
    }

    fn leave_source(&self, source: Option<SourceKey>) {
        let Some(source) = source else { return };
        let mut by_source = self.by_source.lock();
        if let Some(open) = by_source.get_mut(&source) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                by_source.remove(&source);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.sessions.all.fetch_sub(1, Ordering::Relaxed);
        self.sessions.leave_source(self.source);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use equipoise_core::SourcePrefix;

    use super::*;

    #[test]
    fn a_permit_is_one_of_all_and_one_of_its_source() {
        let sessions = Arc::new(Sessions::default());
        let source = |host| Some((SourcePrefix::default().key(Ipv4Addr::new(192, 0, 2, host)), 2));
        let held: Vec<_> = (0..2).map(|_| sessions.permit(4, source(1)).unwrap()).collect();
        assert_eq!(sessions.permit(4, source(1)).unwrap_err(), AtLimit::Source);
        let other: Vec<_> = (0..2).map(|_| sessions.permit(4, source(2)).unwrap()).collect();
        assert_eq!(sessions.permit(4, None).unwrap_err(), AtLimit::All);
        assert_eq!(sessions.permit(4, source(3)).unwrap_err(), AtLimit::All);
        drop(held);
        assert_eq!(sessions.open(), 2);
        assert!(sessions.permit(4, source(1)).is_ok());
        drop(other);
        assert_eq!((sessions.open(), sessions.by_source.lock().len()), (0, 0));
    }
}
