mod facts;
mod flood;
mod model;
mod threads;

use std::{sync::Arc, time::Duration};

use equipoise_core::{Clock, EndpointId, ManualClock};

use super::*;

const TICK: Duration = Duration::from_millis(100);

fn id(name: &str) -> EndpointId {
    EndpointId::from(name)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn table(capacity: usize) -> (SessionTable, Arc<ManualClock>) {
    table_with(SessionTable::builder().capacity(capacity))
}

fn table_with(builder: SessionTableBuilder) -> (SessionTable, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (builder.clock(Arc::clone(&clock) as Arc<dyn Clock>).build().unwrap(), clock)
}

fn bound(table: &SessionTable, key: &[u8]) -> Option<EndpointId> {
    match table.lookup(key) {
        Lookup::Now(Ok(found)) => found,
        other => panic!("a table answers at once: {other:?}"),
    }
}
