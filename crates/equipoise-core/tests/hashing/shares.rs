use equipoise_core::{EndpointSpec, Maglev, Ring, SourcePrefix};

use crate::{
    common::{pool_of, spec},
    keys::{SEED, counts, even, keys, lease, owner, owners, placements},
};

#[test]
fn shares_follow_the_weights() {
    let weights = [1, 2, 3, 4, 10, 20];
    let keys = keys(60_000, 1);
    let total: u32 = weights.iter().sum();
    for (name, strategy) in placements() {
        let counts = counts(&owners(&pool_of(strategy, &weights, SEED), &keys), weights.len());
        for (at, &weight) in weights.iter().enumerate() {
            let share = f64::from(weight) / f64::from(total);
            let expected = share * keys.len() as f64;
            // The limit is four standard deviations of the sample. For a ring, the variance of its points is added.
            let points = if name == "ring" { share * share / (1280.0 * share) } else { 0.0 };
            let deviation = (expected * (1.0 - share) + points * (keys.len() as f64).powi(2)).sqrt();
            let off = (counts[at] - expected).abs();
            assert!(off < 4.0 * deviation, "{name}: weight {weight} has {} keys, not {expected}", counts[at]);
        }
    }
}

#[test]
fn the_busiest_of_a_hundred_under_maglev_is_busy_by_chance_only() {
    let keys = keys(200_000, 2);
    let counts = counts(&owners(&even(Maglev::new(), 100), &keys), 100);
    let mean = keys.len() as f64 / 100.0;
    // If all shares are equal, the sum of squares divided by the mean has 99 degrees of freedom: 99 ± 14.
    let chi_squared: f64 = counts.iter().map(|count| (count - mean).powi(2) / mean).sum();
    assert!((50.0..150.0).contains(&chi_squared), "{chi_squared}");
}

#[test]
fn shares_of_a_ring_vary_by_one_over_the_root_of_its_points() {
    for (points, keys_each) in [(40, 600), (160, 1_200)] {
        let (n, mut variance) = (100, 0.0);
        let seeds = 4;
        for seed in 0..seeds {
            let strategy = Ring::new().points(points).expect("more than none").seed(seed);
            let keys = keys(n * keys_each, 3 + seed);
            let mean = keys_each as f64;
            let counts = counts(&owners(&even(strategy, n), &keys), n);
            let seen: f64 = counts.iter().map(|count| (count / mean - 1.0).powi(2)).sum::<f64>() / n as f64;
            // Subtracts the variance that the sample of keys adds.
            variance += (seen - 1.0 / mean) / f64::from(seeds as u32);
        }
        let (deviation, theory) = (variance.sqrt(), 1.0 / f64::from(points).sqrt());
        assert!((deviation / theory - 1.0).abs() < 0.12, "{points} points: {deviation} and {theory}");
    }
}

#[test]
fn placements_are_pinned() {
    // Balancers of different versions must agree. If this test fails, all keys would move.
    let texts = ["user-1", "user-2", "user-3", "a much longer key, as cached objects have them: /images/2024/logo.svg"];
    let placed: Vec<(&str, Vec<usize>)> = placements()
        .into_iter()
        .map(|(name, strategy)| {
            let pool = even(strategy, 10);
            (name, texts.iter().map(|text| owner(&pool, text.as_bytes())).collect())
        })
        .collect();
    let pinned = [
        ("maglev", vec![0, 1, 4, 9]),
        ("ring", vec![8, 2, 7, 8]),
        ("rendezvous", vec![3, 0, 8, 8]),
        ("jump", vec![9, 6, 2, 7]),
    ];
    assert_eq!(placed, pinned);
}

#[test]
fn placements_of_different_seeds_are_independent() {
    let (one, other) = (even(Maglev::new().seed(1), 10), even(Maglev::new().seed(2), 10));
    let keys = keys(10_000, 4);
    let same = owners(&one, &keys).iter().zip(owners(&other, &keys)).filter(|(one, other)| *one == other).count();
    assert!((850..1150).contains(&same), "{same} of 10000 keys are in the same place");
}

#[test]
fn clients_of_one_network_share_an_endpoint() {
    let pool = even(Maglev::new(), 50);
    let prefix = SourcePrefix::new(24, 48).expect("in range");
    let place = |text: &str| owner(&pool, &prefix.key(text.parse::<std::net::IpAddr>().expect("an address")));
    assert_eq!(place("192.0.2.1"), place("192.0.2.254"));
    assert_eq!(place("192.0.2.1"), place("::ffff:192.0.2.9"));
    assert_eq!(place("2001:db8:7::1"), place("2001:db8:7:ffff::2"));
    let networks: std::collections::HashSet<usize> = (0..100).map(|net| place(&format!("10.0.{net}.1"))).collect();
    assert!(networks.len() > 30);
}

#[test]
fn balancers_with_different_histories_agree() {
    let keys = keys(2_000, 5);
    for (name, strategy) in placements().into_iter().filter(|(name, _)| *name != "jump") {
        let specs =
            |ids: &[usize]| -> Vec<EndpointSpec> { ids.iter().map(|&at| spec(at).weight(1 + at as u32 % 3)).collect() };
        let fresh = pool_of(strategy.clone(), &[1], SEED);
        fresh.update(specs(&[3, 4, 5, 6, 7, 8]), |_| ()).expect("valid");
        let aged = even(strategy, 7);
        aged.update(specs(&[8, 5, 2, 9]), |_| ()).expect("valid");
        aged.update(specs(&[8, 7, 6, 5, 4, 3]), |_| ()).expect("valid");
        for key in &keys {
            let id = |pool| lease(pool, key).endpoint().id().clone();
            assert_eq!(id(&fresh), id(&aged), "{name}");
        }
    }
}
