//! Runs the conformance suite with every strategy of this crate, and with strategies that have one fault each, to check
//! that the suite finds the fault.
#![cfg(not(loom))]

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/by_slot.rs"]
mod by_slot;

use equipoise_core::{
    RoundRobin, StrategySpec,
    strategy::by_name,
    testing::{Check, Conformance},
};

fn spec(text: &str) -> StrategySpec {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn suite(text: &str) -> Conformance<'static> {
    let spec = spec(text);
    Conformance::new(move || spec.build()).allocations(|picks| allocation_counter::measure(picks).count_total)
}

/// The suite for strategies that place requests by key. `tolerance` is the permitted deviation of the shares of keys.
/// Requests without a key must follow the weights.
fn keyed(text: &str, tolerance: f64) -> Conformance<'static> {
    suite(text).honours_weights().spreads_keys(tolerance).keeps_keys_on_availability_change()
}

macro_rules! conform {
    ($($name:ident: $suite:ident($text:literal $(, $tolerance:literal)?) $(.$check:ident($($most:literal)?))*;)*) => {
        $(#[test]
        fn $name() {
            $suite($text $(, $tolerance)?)$(.$check($($most)?))*.assert();
        })*

        const TEXTS: &[&str] = &[$($text),*];
    };
}

conform! {
    round_robin: suite("round-robin").honours_weights();
    edf: suite("edf").honours_weights();
    random: suite("random").honours_weights();
    p2c: suite("p2c").honours_weights();
    five_choices: suite("p2c(choices=5)").honours_weights();
    least_connections: suite("least-connections").honours_weights();
    least_time: suite("least-time").honours_weights();
    peak_ewma: suite("peak-ewma").honours_weights();
    log_ewma: suite("log-ewma").honours_weights();
    // Without `honours_weights`, because first fit ignores weights.
    first_fit: suite("first-fit");

    maglev: keyed("maglev(table=4099)", 0.05).keeps_keys_on_removal(0.05);
    ring: keyed("ring", 0.2).keeps_keys_on_removal(0.0);
    rendezvous: keyed("rendezvous", 0.0).keeps_keys_on_removal(0.0);
    // Without `keeps_keys_on_removal`, because only the removal of the last endpoint moves few keys.
    jump: keyed("jump", 0.0);
    maglev_or_least_connections: keyed("maglev(table=2039, fallback=least-connections)", 0.05);
    ring_or_turns: keyed("ring(fallback=round-robin)", 0.2);
    rendezvous_or_peak_ewma: keyed("rendezvous(fallback=peak-ewma)", 0.0);
    // Without `honours_weights`, because the fallback for requests without a key is first fit.
    jump_or_first_fit: suite("jump(fallback=first-fit)").spreads_keys(0.0).keeps_keys_on_availability_change();

    bounded_maglev: keyed("bounded-load(maglev(table=4099))", 0.05).keeps_keys_on_removal(0.05).may_refuse();
    bounded_ring: keyed("bounded-load(ring)", 0.2).keeps_keys_on_removal(0.0).may_refuse();
    bounded_rendezvous: keyed("bounded-load(rendezvous)", 0.0).keeps_keys_on_removal(0.0).may_refuse();
    bounded_jump: keyed("bounded-load(jump)", 0.0).may_refuse();
    bounded_ring_or_least_time: keyed("bounded-load(ring(fallback=least-time))", 0.2).may_refuse();
    bounded_p2c: suite("bounded-load(p2c)").honours_weights().may_refuse();

    // Without `honours_weights`, because an endpoint gets less than its share after it comes up, and the suite often
    // takes endpoints down.
    slow_p2c: suite("slow-start(p2c)");
    slow_without_a_window: suite("slow-start(round-robin, window=0s)").honours_weights();
    slow_rendezvous: suite("slow-start(rendezvous)").spreads_keys(0.0);
    // Without `honours_weights`, because a subset does not use all endpoints.
    subset_of_least_connections: suite("subset(least-connections, size=4, seed=7)");
    subset_of_ring: suite("subset(ring, size=4, seed=7)");
    subset_of_all: keyed("subset(rendezvous, size=100, seed=7)", 0.0).keeps_keys_on_removal(0.0);
    aperture: suite("aperture(peak-ewma, peer=1, peers=3, min-endpoints=2)");
    aperture_of_one: suite("aperture(p2c, peer=0, peers=1)").honours_weights();
    zones: suite("zone-aware(p2c, zone=a)").honours_weights();
    zones_by_key: keyed("zone-aware(ring, zone=a)", 0.2);
    nested: suite("slow-start(subset(zone-aware(peak-ewma, zone=a), size=5, seed=1))");
}

#[test]
fn every_strategy_that_has_a_name_is_among_them() {
    let conforming: Vec<StrategySpec> = TEXTS.iter().map(|text| spec(text)).collect();
    for definition in by_name::all() {
        assert!(conforming.iter().any(|spec| spec.name() == definition.name()), "{definition} is not");
    }
}

#[test]
fn checks_that_were_not_requested_are_listed() {
    let bare = Conformance::new(RoundRobin::new).check().expect("it conforms");
    let not_requested = [
        Check::Weights,
        Check::Updates,
        Check::Allocations,
        Check::SpreadsKeys,
        Check::KeepsKeys,
        Check::AvailabilityChanges,
        Check::Removals,
    ];
    assert_eq!(bare.not_requested, not_requested);
    assert!(
        bare.to_string()
            .contains("NOT CHECKED, because not requested:\n  Weights: request it with `honours_weights`\n")
    );
    let all = keyed("rendezvous", 0.0).keeps_keys_on_removal(0.0).check().expect("it conforms");
    assert!(all.not_requested.is_empty() && !all.to_string().contains("NOT"), "{all}");
    assert!(all.done.iter().all(|check| bare.done.contains(check) == check.requested_by().is_none()));
}
