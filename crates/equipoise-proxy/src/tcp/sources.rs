use std::{collections::HashMap, net::IpAddr, sync::Arc};

use equipoise_core::{SourceKey, SourcePrefix};
use parking_lot::Mutex;

/// The numbers of open connections by the prefix of the client's address. A prefix without connections is not in the
/// map, so it is never larger than the number of connections.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<HashMap<SourceKey, usize>>);

/// A connection of a source, until this is dropped.
#[derive(Debug)]
pub(super) struct FromSource {
    sources: Arc<Sources>,
    key: SourceKey,
}

/// As many connections as allowed are open from a source.
#[derive(Debug)]
pub(super) struct SourceFull;

impl Sources {
    /// Counts a connection, if fewer than `max` are open from its source.
    pub(super) fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        prefix: SourcePrefix,
        max: usize,
    ) -> Result<FromSource, SourceFull> {
        let key = prefix.key(address);
        let mut open = self.0.lock();
        let count = open.get(&key).copied().unwrap_or(0);
        if count >= max {
            return Err(SourceFull);
        }
        open.insert(key, count + 1);
        Ok(FromSource { sources: Arc::clone(self), key })
    }
}

impl Drop for FromSource {
    fn drop(&mut self) {
        let mut open = self.sources.0.lock();
        match open.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.key);
                // After a wave of clients, the memory is given back.
                if open.len() * 4 < open.capacity() {
                    let length = open.len();
                    open.shrink_to(length * 2);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_at_most_its_connections_and_leaves_nothing() {
        let sources = Arc::new(Sources::default());
        let prefix = SourcePrefix::new(24, 64).expect("in range");
        let enter = |address: &str| sources.enter(address.parse().expect("an address"), prefix, 2);
        let one = enter("192.0.2.1").expect("the first");
        let _other = enter("192.0.2.77").expect("the second");
        enter("192.0.2.3").expect_err("the third of this network");
        enter("192.0.3.3").expect("another network");
        drop(one);
        let again = enter("192.0.2.3").expect("one has ended");
        drop((again, _other));
        assert!(sources.0.lock().is_empty());
    }
}
