//! Invalid texts, and the error message of each.

use equipoise_core::{InvalidStrategy, strategy::by_name};

use crate::{refusal, spec};

#[test]
fn invalid_texts_are_refused_with_a_valid_alternative() {
    let names = by_name::all().iter().map(by_name::StrategyDefinition::name).collect::<Vec<_>>().join(", ");
    for (text, message) in [
        ("", r#"expected the name of a strategy (at 1), found the end of the text"#),
        ("p2d", &*format!("there is no strategy \"p2d\" (at 1): did you mean p2c? valid names are {names}")),
        ("P2C", &*format!("there is no strategy \"P2C\" (at 1): did you mean p2c? valid names are {names}")),
        (
            "slow-start(p2d)",
            &*format!("there is no strategy \"p2d\" (at 12): did you mean p2c? valid names are {names}"),
        ),
        ("weighted", &*format!("there is no strategy \"weighted\" (at 1): valid names are {names}")),
        ("p2c(choice=3)", r#"p2c has no parameter "choice" (at 5): did you mean choices? its parameters are choices"#),
        ("p2c(seed=3)", r#"p2c has no parameter "seed" (at 5): its parameters are choices"#),
        ("random(seed=3)", r#"random has no parameter "seed" (at 8): it has no parameters"#),
        ("p2c(choices=1)", r#"p2c cannot have choices="1" (at 13): choices is a whole number from 2 to 10, such as 2"#),
        ("p2c(choices=)", r#"p2c cannot have choices="" (at 13): choices is a whole number from 2 to 10, such as 2"#),
        (
            "maglev(seed=-1)",
            r#"maglev cannot have seed="-1" (at 13): seed is a whole number from 0 to 2^64 - 1, such as 0"#,
        ),
        (
            "peak-ewma(decay=10)",
            r#"peak-ewma cannot have decay="10" (at 17): decay is a time in h, m, s, ms, us or ns, such as 10s"#,
        ),
        ("slow-start(p2c, floor=nan)", r#"slow-start cannot have floor="nan" (at 23): floor is a number, such as 0.1"#),
        (
            "slow-start(p2c, include-first-members=yes)",
            r#"slow-start cannot have include-first-members="yes" (at 39): include-first-members is true or false"#,
        ),
        ("peak-ewma(decay=0s)", "peak-ewma (at 1): decay cannot be 0ns: use at least 1 us, usually some seconds"),
        ("peak-ewma(fade=1ns)", "peak-ewma (at 1): fade cannot be 1ns: use at least 1 us, usually some seconds"),
        ("least-time(period=0s)", "least-time (at 1): period cannot be 0ns: use at least 1 us, usually some seconds"),
        ("p2c(choices=2, choices=3)", "p2c sets choices twice (at 16)"),
        ("p2c(choices=2", r#"expected "," or ")" (at 14), found the end of the text"#),
        ("p2c(choices=2))", r#"expected the end of the text (at 15), found ')'"#),
        ("p2c random", r#"expected the end of the text (at 5), found 'r'"#),
        ("p2c(choices)", r#"expected "=" and a value (at 12), found ')'"#),
        ("p2c(", "expected a parameter (at 5), found the end of the text"),
        ("slow-start(", "expected a strategy or a parameter (at 12), found the end of the text"),
        (
            "p2c(random)",
            r#"p2c cannot contain the strategy "random" (at 5), because it wraps no strategy; its parameters are choices"#,
        ),
        (
            "bounded-load(ring, jump)",
            r#"bounded-load cannot contain the strategy "jump" (at 20), because it wraps only one strategy; its parameters are factor"#,
        ),
        ("bounded-load", "bounded-load (at 1) needs a strategy to wrap, in brackets, such as bounded-load(p2c)"),
        ("subset(p2c, size=3)", "subset (at 1) needs seed=…: seed is a whole number from 0 to 2^64 - 1, such as 7"),
        (
            "maglev(table=1000)",
            "maglev (at 1): the size of a Maglev table cannot be 1000: use a prime number of at most 5000011, such as 65537 or 655373; a good size is about a hundred times the number of endpoints",
        ),
        (
            "slow-start(bounded-load(ring, factor=0.5))",
            "bounded-load (at 12): factor cannot be 0.5: use a finite number of at least 1, usually from 1.2 to 2",
        ),
        (
            "aperture(p2c, peer=8, peers=8)",
            "aperture (at 1): the number of a client cannot be 8 with 8 clients: clients are numbered from 0, so use a number below the number of clients",
        ),
        (r#"zone-aware(p2c, zone="x)"#, "expected a closing quote (at 25), found the end of the text"),
        (
            "zone-aware(p2c, zone=x, callers={a=1, a=2})",
            "expected a name that is not in the list yet (at 39), found 'a'",
        ),
        (
            "zone-aware(p2c, zone=x, callers=3)",
            r#"zone-aware cannot have callers="3" (at 33): callers is a list of whole numbers below 2^32 in curly brackets, each with its name, such as {eu-1a=3, eu-1b=2}"#,
        ),
    ] {
        assert_eq!(refusal(text).to_string(), message, "{text}");
    }
}

#[test]
fn strategies_nest_sixteen_deep_and_no_deeper() {
    let nested = |depth: usize| format!("{}p2c{}", "slow-start(".repeat(depth - 1), ")".repeat(depth - 1));
    assert_eq!(spec(&nested(by_name::MAX_DEPTH)).to_string(), nested(by_name::MAX_DEPTH));
    assert!(matches!(refusal(&nested(by_name::MAX_DEPTH + 1)), InvalidStrategy::TooDeep { at } if at.byte == 176));
    assert!(matches!(refusal(&"slow-start(".repeat(100_000)), InvalidStrategy::TooDeep { .. }));
    assert!(matches!(refusal(&"maglev(fallback=".repeat(100_000)), InvalidStrategy::TooDeep { .. }));
}
