//! Every native strategy through the suite that users run against their own, and strategies with a fault each, to see
//! that the suite finds it.
#![cfg(not(loom))]

#[path = "conformance/broken.rs"]
mod broken;

use equipoise_core::{
    Aperture, BoundedLoad, Edf, FirstFit, Jump, LeastConnections, LeastTime, Maglev, P2c, PeakEwma, Random, Rendezvous,
    Ring, RoundRobin, SlowStart, Strategy, Subset, ZoneAware, testing::Conformance,
};

fn suite<'a, S: Strategy>(make: impl Fn() -> S + 'a) -> Conformance<'a> {
    Conformance::new(make).allocations(|picks| allocation_counter::measure(picks).count_total)
}

/// For strategies that place by key, evenly up to `tolerance`, and choose by lot where there is none.
fn keyed<'a, S: Strategy>(tolerance: f64, make: impl Fn() -> S + 'a) -> Conformance<'a> {
    suite(make).honours_weights().spreads_keys(tolerance).holds_keys_on_flips()
}

macro_rules! conform {
    ($($name:ident: $suite:expr;)*) => {
        $(#[test]
        fn $name() {
            $suite.assert();
        })*
    };
}

conform! {
    round_robin: suite(RoundRobin::new).honours_weights();
    edf: suite(|| Edf::seeded(7)).honours_weights();
    random: suite(Random::new).honours_weights();
    p2c: suite(P2c::new).honours_weights();
    five_choices: suite(|| P2c::with_choices(5).expect("2 to 10")).honours_weights();
    least_connections: suite(LeastConnections::new).honours_weights();
    least_time: suite(LeastTime::new).honours_weights();
    peak_ewma: suite(PeakEwma::new).honours_weights();
    // Fills one after the other: weights are not its business.
    first_fit: suite(FirstFit::new);

    maglev: keyed(0.05, || Maglev::new().table_size(2_039).expect("a prime")).holds_keys_on_removal(0.05);
    ring: keyed(0.2, Ring::new).holds_keys_on_removal(0.0);
    rendezvous: keyed(0.0, Rendezvous::new).holds_keys_on_removal(0.0);
    // Only the last one leaves cheaply.
    jump: keyed(0.0, Jump::new);

    bounded_ring: keyed(0.2, || BoundedLoad::new(Ring::new())).holds_keys_on_removal(0.0).may_refuse();
    bounded_rendezvous: keyed(0.0, || BoundedLoad::new(Rendezvous::new())).holds_keys_on_removal(0.0).may_refuse();
    bounded_p2c: suite(|| BoundedLoad::new(P2c::new())).honours_weights().may_refuse();

    // Who starts slowly gets less than its share, and so does who is often away.
    slow_p2c: suite(|| SlowStart::new(P2c::new()));
    slow_without_a_window: suite(|| SlowStart::new(RoundRobin::new()).window(std::time::Duration::ZERO)).honours_weights();
    slow_rendezvous: suite(|| SlowStart::new(Rendezvous::new())).spreads_keys(0.0);
    // A part only, and so not by all weights.
    subset_of_least_connections: suite(|| Subset::new(LeastConnections::new(), 4, 7));
    subset_of_ring: suite(|| Subset::new(Ring::new(), 4, 7));
    subset_of_all: keyed(0.0, || Subset::new(Rendezvous::new(), 100, 7)).holds_keys_on_removal(0.0);
    aperture: suite(|| Aperture::new(PeakEwma::new(), 1, 3).expect("a client").minimum(2));
    aperture_of_one: suite(|| Aperture::new(P2c::new(), 0, 1).expect("a client")).honours_weights();
    zones: suite(|| ZoneAware::new(P2c::new(), "a")).honours_weights();
    zones_by_key: keyed(0.2, || ZoneAware::new(Ring::new(), "a"));
    nested: suite(|| SlowStart::new(Subset::new(ZoneAware::new(PeakEwma::new(), "a"), 5, 1)));
}
