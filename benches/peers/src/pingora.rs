//! pingora's selection with its readiness check, and its ring alone.

use std::{collections::BTreeSet, hint::black_box, sync::Arc};

use equipoise_benches::{Kind, Subject, Weights, next_key};
use equipoise_core::Ring;
use parking_lot::Mutex;
use pingora_ketama::{Bucket, Continuum};
use pingora_load_balancing::{
    Backend, LoadBalancer,
    prelude::RoundRobin,
    selection::{BackendIter, BackendSelection, Consistent},
};

use crate::{
    race::{Race, Table},
    subject::{SIZES, addresses, building, names},
};

/// Maximum number of backends that a selection looks at. All are ready, so it looks at one.
const ITERATIONS: usize = 256;

pub(crate) fn measure(table: &mut Table) {
    for n in SIZES {
        picks(n, table);
    }
    builds(1_000, table);
}

fn balancer<S>(n: usize) -> LoadBalancer<S>
where
    S: BackendSelection<Iter: BackendIter> + Send + Sync + 'static,
{
    LoadBalancer::try_from_iter(names(n)).expect("addresses")
}

fn picks(n: usize, table: &mut Table) {
    let ours = Subject::new(Kind::RoundRobin, n, Weights::Equal);
    let theirs = balancer::<RoundRobin>(n);
    table.picks(
        &Race { peer: "pingora-load-balancing", what: "select, RoundRobin", n, ours: "pick, round-robin", asked: None },
        || drop(black_box(theirs.select(b"", ITERATIONS).expect("all are ready"))),
        || ours.pick(),
    );

    let ours = Subject::new(Kind::Ring, n, Weights::Equal);
    let theirs = balancer::<Consistent>(n);
    let asked = (n == 1_000).then_some(0.5);
    table.picks(
        &Race { peer: "pingora-load-balancing", what: "select, Consistent", n, ours: "pick, ring", asked },
        || drop(black_box(theirs.select(&next_key(), ITERATIONS).expect("all are ready"))),
        || ours.pick(),
    );
    let bare = Continuum::new(&buckets(n));
    table.picks(
        &Race { peer: "pingora-ketama", what: "node, the bare ring", n, ours: "pick, ring", asked: None },
        || {
            black_box(bare.node(&next_key()).expect("it has nodes"));
        },
        || ours.pick(),
    );
}

fn buckets(n: usize) -> Vec<Bucket> {
    addresses(n).into_iter().map(|address| Bucket::new(address, 1)).collect()
}

fn builds(n: usize, table: &mut Table) {
    let buckets = buckets(n);
    let backends: BTreeSet<Backend> = names(n).iter().map(|name| Backend::new(name).expect("an address")).collect();
    let shared = Arc::new(Mutex::new(std::mem::take(table)));
    let inside = Arc::clone(&shared);
    building(Ring::new(), n, move |ours| {
        let mut table = inside.lock();
        table.builds(
            &Race { peer: "pingora-ketama", what: "build the bare ring", n, ours: "build, ring", asked: Some(0.5) },
            || drop(black_box(Continuum::new(black_box(&buckets)))),
            ours,
        );
        table.builds(
            &Race {
                peer: "pingora-load-balancing",
                what: "build Consistent",
                n,
                ours: "build, ring",
                asked: Some(0.5),
            },
            || drop(black_box(Consistent::build(black_box(&backends)))),
            ours,
        );
    });
    *table = std::mem::take(&mut *shared.lock());
}
