use std::collections::BTreeSet;

use equipoise_core::{Aperture, InvalidCombinator, Maglev, P2c, Pool, Random, RoundRobin, Strategy};

use crate::{
    common::pool_of,
    keyed::owners,
    maintenance,
    shares::{follow, idle},
    up, used,
};

const SEED: u64 = 0xa9e7;

fn client(inner: impl Strategy, peer: u32, peers: u32, min_endpoints: u32, weights: &[u32]) -> Pool<()> {
    let aperture = Aperture::new(inner, peer, peers).expect("a client").min_endpoints(min_endpoints);
    pool_of(aperture, weights, SEED + u64::from(peer))
}

#[test]
fn all_clients_together_load_each_endpoint_by_weight() {
    let unequal: Vec<u32> = (0..20).map(|at| 1 + at % 4).collect();
    for (weights, peers, min_endpoints) in
        [(&[1; 10][..], 3, 1), (&[1; 10], 7, 2), (&unequal, 9, 4), (&[5, 1, 1], 4, 1)]
    {
        let mut counts = vec![0; weights.len()];
        for peer in 0..peers {
            let got = idle(&client(Random::new(), peer, peers, min_endpoints, weights), weights.len(), 20_000);
            counts.iter_mut().zip(got).for_each(|(sum, n)| *sum += n);
        }
        follow(&counts, weights).unwrap_or_else(|error| panic!("{peers} clients: {error}"));
    }
}

#[test]
fn taking_turns_is_exact_across_clients() {
    // Five clients share eight endpoints, so the arc of each client covers 1.6 endpoints. A client uses two endpoints
    // in the ratio 5 : 3, or three in the ratio 2 : 5 : 1, and so on.
    let mut counts = vec![0; 8];
    for peer in 0..5 {
        let got = idle(&client(RoundRobin::new(), peer, 5, 1, &[1; 8]), 8, 8000);
        counts.iter_mut().zip(got).for_each(|(sum, n)| *sum += n);
    }
    assert_eq!(counts, [5000; 8]);
}

#[test]
fn an_arc_of_few_heavy_endpoints_is_not_topped_up() {
    // Most of these arcs contain fewer than twelve endpoints.
    let weights: Vec<u32> = (0..100).map(|at| if at % 4 == 0 { 9 } else { 1 }).collect();
    let mut counts = vec![0; 100];
    for peer in 0..30 {
        let got = idle(&client(Random::new(), peer, 30, 12, &weights), 100, 20_000);
        counts.iter_mut().zip(got).for_each(|(sum, n)| *sum += n);
    }
    follow(&counts, &weights).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_client_keeps_to_its_arc() {
    let arcs: Vec<usize> = (0..10).map(|peer| used(&client(P2c::new(), peer, 10, 4, &[1; 100]), 500).len()).collect();
    assert_eq!(arcs, [10; 10]);
    let all = (0..25).map(|peer| used(&client(P2c::new(), peer, 25, 4, &[1; 100]), 500)).collect::<Vec<_>>();
    let mut counts = [0; 100];
    all.iter().flatten().for_each(|&at| counts[at] += 1);
    assert!(all.iter().all(|arc| arc.len() == 4) && counts == [1; 100]);
}

#[test]
fn a_client_number_out_of_range_is_refused() {
    for (peer, peers) in [(0, 0), (3, 3), (9, 3)] {
        let error = Aperture::new(P2c::new(), peer, peers).expect_err("out of range");
        assert_eq!(error, InvalidCombinator::Peer { peer, peers });
    }
}

#[test]
fn an_arc_reaches_further_while_endpoints_under_it_are_down() {
    let pool = client(Random::new(), 2, 10, 5, &[1; 50]);
    let before = used(&pool, 500);
    assert_eq!(before.len(), 5);
    maintenance(&pool, before[..2].iter().copied());
    let meanwhile = used(&pool, 500);
    assert_eq!(meanwhile.len(), 5);
    assert_eq!(meanwhile.iter().filter(|at| before.contains(at)).count(), 3);
    up(&pool, before[0]);
    up(&pool, before[1]);
    assert_eq!(used(&pool, 500), before);
    maintenance(&pool, (0..50).filter(|at| *at != 31));
    assert_eq!(used(&pool, 50), [31]);
}

#[test]
fn tables_of_a_hashing_strategy_follow_the_arc() {
    let [one, other] = [0, 1].map(|peer| owners(&client(Maglev::new(), peer, 2, 3, &[1; 6]), 500));
    let [one, other] = [one, other].map(|owners| owners.into_iter().collect::<BTreeSet<usize>>());
    assert_eq!((one.len(), other.len()), (3, 3));
    assert!(one.is_disjoint(&other));
}
