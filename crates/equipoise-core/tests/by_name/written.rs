//! The text that a strategy is written as.

use crate::spec;

#[test]
fn what_is_written_is_what_differs_from_the_defaults() {
    for (given, written) in [
        ("p2c", "p2c"),
        ("  p2c ( ) ", "p2c"),
        ("p2c(choices = 3)", "p2c(choices=3)"),
        ("peak-ewma(penalty=5000ms,decay=90s,fade=0.25s)", "peak-ewma(decay=90s, fade=250ms)"),
        ("least-time(period=1h)", "least-time(period=1h)"),
        ("least-time(period=1.5us)", "least-time(period=1.5us)"),
        ("slow-start(p2c, window=0ns)", "slow-start(p2c, window=0s)"),
        ("least-time(period=1.000000001s)", "least-time(period=1.000000001s)"),
        ("maglev(seed=0x10, fallback=random())", "maglev(seed=16)"),
        ("maglev(fallback=peak-ewma(decay=5s))", "maglev(fallback=peak-ewma(decay=5s))"),
        ("ring(sizes=4096..65536)", "ring(sizes=4096..65536)"),
        ("bounded-load(factor=1.250, ring(points=160))", "bounded-load(ring)"),
        ("bounded-load(factor=2, ring)", "bounded-load(ring, factor=2)"),
        ("subset(p2c, seed=7, size=20)", "subset(p2c, size=20, seed=7)"),
        ("aperture(p2c, peer=3, peers=8, min-eligible=2)", "aperture(p2c, peer=3, peers=8, min-eligible=2)"),
        (r#"zone-aware(p2c, zone="eu-1a")"#, "zone-aware(p2c, zone=eu-1a)"),
        (r#"zone-aware(p2c, zone="a \"b\\, ü)")"#, r#"zone-aware(p2c, zone="a \"b\\, ü)")"#),
        (r#"zone-aware(p2c, zone="")"#, r#"zone-aware(p2c, zone="")"#),
        (r#"zone-aware(p2c, zone=x, callers={ "in b" = 2 })"#, r#"zone-aware(p2c, zone=x, callers={"in b"=2})"#),
        ("zone-aware(p2c, callers={eu-1b=2,eu-1a=3}, zone=x)", "zone-aware(p2c, zone=x, callers={eu-1a=3, eu-1b=2})"),
        ("zone-aware(p2c, callers={}, zone=x)", "zone-aware(p2c, zone=x, callers={})"),
        (
            "slow-start(slow-start(edf(seed=1), floor=1), include-first-members=true)",
            "slow-start(slow-start(edf(seed=1), floor=1), include-first-members=true)",
        ),
    ] {
        assert_eq!(spec(given).to_string(), written, "{given}");
        assert_eq!(spec(written), spec(given), "{given}");
    }
}

#[cfg(feature = "serde")]
#[test]
fn it_is_serialized_as_its_text() {
    use equipoise_core::StrategySpec;

    let given = spec("bounded-load(ring(points=40), factor=1.5)");
    let json = serde_json::to_string(&given).unwrap();
    assert_eq!(json, r#""bounded-load(ring(points=40), factor=1.5)""#);
    assert_eq!(serde_json::from_str::<StrategySpec>(&json).unwrap(), given);
    assert_eq!(serde_json::from_value::<StrategySpec>(serde_json::json!("p2c")).unwrap(), spec("p2c"));
    let error = serde_json::from_str::<StrategySpec>(r#""p2c(choices=1)""#).unwrap_err().to_string();
    assert!(error.contains("a whole number from 2 to 10"), "{error}");
    let error = serde_json::from_str::<StrategySpec>("3").unwrap_err().to_string();
    assert!(error.contains("a strategy by name"), "{error}");
}
