//! Crates that only hash keys to nodes.

use std::{hint::black_box, sync::Arc};

use equipoise_benches::{Kind, Subject, Weights, next_key};
use equipoise_core::{Maglev, Ring};
use maglev_hash::MaglevTable;
use parking_lot::Mutex;

use crate::{
    race::{Race, Table},
    subject::{SIZES, building, names},
};

/// Number of entries of a Maglev table, and of points of an endpoint on a ring.
const ENTRIES: usize = 65_537;
const POINTS: usize = 160;

pub(crate) fn measure(table: &mut Table) {
    for n in SIZES {
        lookups(n, table);
    }
    builds(1_000, table);
}

/// A point of an endpoint. Nodes of `hashring` have one point each.
type Point = (u32, u32);

fn points(n: usize) -> Vec<Point> {
    (0..n as u32).flat_map(|node| (0..POINTS as u32).map(move |point| (node, point))).collect()
}

fn hash_ring(points: &[Point]) -> hashring::HashRing<Point> {
    let mut ring = hashring::HashRing::new();
    ring.batch_add(points.to_vec());
    ring
}

fn multi_probe(n: usize) -> mpchash::HashRing<u64> {
    let ring = mpchash::HashRing::new();
    (0..n as u64).for_each(|node| ring.add(node));
    ring
}

fn lookups(n: usize, table: &mut Table) {
    let names = names(n);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ours = Subject::new(Kind::Maglev, n, Weights::Equal);
    let maglev = MaglevTable::with_capacity(names.clone(), ENTRIES);
    table.picks(
        &Race { peer: "maglev-hash", what: "get", n, ours: "pick, maglev", asked: None },
        || {
            black_box(maglev.get(&next_key()));
        },
        || ours.pick(),
    );
    let ours = Subject::new(Kind::Ring, n, Weights::Equal);
    let ketama = ketama::Ring::build(&names);
    table.picks(
        &Race { peer: "ketama", what: "route", n, ours: "pick, ring", asked: None },
        || {
            black_box(ketama.route(&next_key()));
        },
        || ours.pick(),
    );
    let ring = hash_ring(&points(n));
    table.picks(
        &Race { peer: "hashring", what: "get", n, ours: "pick, ring", asked: None },
        || {
            black_box(ring.get(&next_key()));
        },
        || ours.pick(),
    );
    let probes = multi_probe(n);
    table.picks(
        &Race { peer: "mpchash", what: "node, 23 probes", n, ours: "pick, ring", asked: None },
        || {
            black_box(probes.node(&next_key()).map(|token| *token.node()));
        },
        || ours.pick(),
    );
}

fn builds(n: usize, table: &mut Table) {
    let shared = Arc::new(Mutex::new(std::mem::take(table)));
    let inside = Arc::clone(&shared);
    building(Maglev::new(), n, move |ours| {
        let names = names(n);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        inside.lock().builds(
            &Race { peer: "maglev-hash", what: "build 65 537 entries", n, ours: "build, maglev", asked: Some(0.75) },
            || drop(black_box(MaglevTable::with_capacity(names.clone(), ENTRIES))),
            ours,
        );
    });
    let inside = Arc::clone(&shared);
    building(Ring::new(), n, move |ours| {
        let mut table = inside.lock();
        let names = names(n);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        table.builds(
            &Race { peer: "ketama", what: "build", n, ours: "build, ring", asked: None },
            || drop(black_box(ketama::Ring::build(&names))),
            ours,
        );
        let points = points(n);
        table.builds(
            &Race { peer: "hashring", what: "build, 160 points each", n, ours: "build, ring", asked: None },
            || drop(black_box(hash_ring(&points))),
            ours,
        );
        table.builds(
            &Race { peer: "mpchash", what: "build, one point each", n, ours: "build, ring", asked: None },
            || drop(black_box(multi_probe(n))),
            ours,
        );
    });
    *table = std::mem::take(&mut *shared.lock());
}
