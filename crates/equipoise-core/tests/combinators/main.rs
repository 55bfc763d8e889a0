//! Tests of the combinators: the effect of each on the shares, the endpoints that are never picked, and nested
//! combinators. Every run uses a named seed.
#![cfg(not(loom))]

#[path = "../common/mod.rs"]
mod common;
#[path = "../weights/shares.rs"]
mod shares;

mod alloc;
mod aperture;
mod keyed;
mod nesting;
mod properties;
mod slow_start;
mod spillover;
mod subset;
mod zone;

use equipoise_core::{Availability, Pool};

use crate::common::id;

fn maintenance(pool: &Pool<()>, indices: impl IntoIterator<Item = usize>) {
    for at in indices {
        pool.set_availability(id(at), Availability::Maintenance).expect("a member");
    }
}

fn up(pool: &Pool<()>, at: usize) {
    pool.set_availability(id(at), Availability::Up).expect("a member");
}

/// Makes `picks` picks and returns the positions of the endpoints that were picked at least once.
fn used(pool: &Pool<()>, picks: u32) -> Vec<usize> {
    let seen: std::collections::BTreeSet<usize> = (0..picks).map(|_| common::at(&common::pick(pool))).collect();
    seen.into_iter().collect()
}
