//! Tests of the parser, with a vocabulary that has a parameter of each kind.

use std::time::Duration;

use super::{Definition, Kind, Param, ParamBuilder, Settings, Spec, Vocabulary, scanner::READ, time};

#[derive(Clone, Debug, PartialEq)]
enum Shapes {}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0} is refused")]
struct Refused(&'static str);

const NUMBER: Param<u8> = Param::<u8>::number("number", "").range(1, 9).default("3");
const REAL: Param<f64> = Param::real("real", "").range(0.0, 2.0).default("1.25");
const TIME: Param<Duration> = Param::time("time", "").range(Duration::ZERO, Duration::from_secs(9)).default("2.5s");
const BOOL: Param<bool> = Param::bool("bool", "");
const FLAG: Param<bool> = Param::flag("flag", "");
const TEXT: Param<String> = Param::text("text", "").default("a");
const OPEN: Param<Option<String>> = Param::text("open", "").secret().otherwise("nothing", "a");
const LIST: Param<Vec<String>> = Param::list("list", "");
const FALLBACK: Param<super::Nested> = Param::strategy("fallback", "", "dot");
const WAIT: Kind = Kind::ChoiceOrTimed {
    words: &["move", "fail"],
    timed: "wait",
    from: Duration::from_millis(1),
    to: Duration::from_secs(9),
};
const TIMED: Param<Option<String>> = ParamBuilder::<String>::new("timed", WAIT, "").otherwise("move", "fail");
const NAMED: Param<Option<String>> = ParamBuilder::<String>::new("named", Kind::TextsByName, "").drawn("{}");
const NUMBERS: Param<Option<String>> = ParamBuilder::<String>::new("numbers", Kind::NumbersByName, "").drawn("{}");

impl Vocabulary for Shapes {
    type Make = ();
    type Refusal = Refused;

    const NOUN: &'static str = "shape";
    const EXPECTED: &'static str = "a shape";

    fn definitions() -> &'static [Definition<Self>] {
        const PLAIN: &[Definition<Shapes>] = &[
            Definition::new("dot", "", &[], ()),
            Definition::new(
                "square",
                "",
                &[
                    NUMBER.parameter,
                    REAL.parameter,
                    TIME.parameter,
                    BOOL.parameter,
                    FLAG.parameter,
                    TEXT.parameter,
                    OPEN.parameter,
                    LIST.parameter,
                    FALLBACK.parameter,
                    TIMED.parameter,
                    NAMED.parameter,
                    NUMBERS.parameter,
                ],
                (),
            ),
            Definition::combinator("frame", "", &[], ()),
        ];
        PLAIN
    }

    fn check(settings: &Settings<'_, Self>) -> Result<(), Refused> {
        if settings.is_set(&OPEN.parameter) && settings.get(&NUMBER) == 9 { Err(Refused("open")) } else { Ok(()) }
    }

    fn refused_parameter(refusal: &Refused) -> Option<&'static str> {
        Some(refusal.0)
    }
}

fn spec(text: &str) -> Spec<Shapes> {
    Spec::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    Spec::<Shapes>::parse(text).map_or_else(|error| error.to_string(), |spec| panic!("{text} was read as {spec}"))
}

#[test]
fn values_are_read_with_their_types() {
    let spec = spec("square(number=4, real=0.5, time=3s, bool=true, flag, text=\"b c\", open=d, list={e, f})");
    let settings = Settings::of(&spec);
    assert_eq!((settings.get(&NUMBER), settings.get(&REAL)), (4, 0.5));
    assert_eq!((settings.get(&TIME), settings.get(&BOOL)), (Duration::from_secs(3), true));
    assert!(settings.get(&FLAG) && settings.is_set(&FLAG.parameter));
    assert_eq!((settings.get(&TEXT), settings.get(&OPEN)), ("b c".to_owned(), Some("d".to_owned())));
    assert_eq!(settings.get(&LIST), ["e", "f"]);
}

#[test]
fn defaults_hold_for_what_is_not_set_or_not_known() {
    for spec in [spec("square"), spec("dot"), spec("square(number=3, real=1.25, time=2500ms, fallback=dot())")] {
        let settings = Settings::of(&spec);
        assert_eq!((settings.get(&NUMBER), settings.get(&REAL)), (3, 1.25));
        assert_eq!((settings.get(&TIME), settings.get(&BOOL)), (Duration::from_millis(2500), false));
        assert_eq!((settings.get(&TEXT), settings.get(&OPEN)), ("a".to_owned(), None));
        assert!(settings.get(&LIST).is_empty() && settings.nested(&FALLBACK.parameter).is_none());
        assert!(!settings.is_set(&NUMBER.parameter));
    }
}

#[test]
fn defaults_are_not_written_and_flags_stand_alone() {
    for (text, written) in [
        ("square(flag=true, bool=true)", "square(bool=true, flag)"),
        ("square(flag=false, text=a)", "square"),
        ("frame(square( number = 0x4 ))", "frame(square(number=4))"),
        (
            "square(timed=wait( 2s ), named={b=\"\", a=c}, numbers={})",
            "square(timed=wait(2s), named={a=c, b=\"\"}, numbers={})",
        ),
        ("square(fallback=frame(dot))", "square(fallback=frame(dot))"),
    ] {
        assert_eq!(spec(text).to_string(), written, "{text}");
    }
}

#[test]
fn errors_say_where_and_what_would_be_right() {
    for (text, message) in [
        ("", "expected a shape (at 1), found the end of the text"),
        ("sqare", r#"there is no shape "sqare" (at 1): did you mean square? valid names are dot, square, frame"#),
        (
            "square(number=10)",
            r#"square cannot have number="10" (at 15): number is a whole number from 1 to 9, such as 3"#,
        ),
        (
            "square(open={secret})",
            r#"square cannot have open="…" (at 13): open is a text (in quotes if it has characters other than letters, digits and -_.:/+), such as a"#,
        ),
        ("square(open=a, number=9)", "square (at 8): open is refused"),
        ("square(flag, flag)", "square sets flag twice (at 14)"),
        ("square(timed=wait)", "expected \"(\" and a time (at 18), found ')'"),
        (
            "frame(dot, dot)",
            r#"frame cannot contain the strategy "dot" (at 12), because it wraps only one strategy; it has no parameters"#,
        ),
        ("frame(x=1)", r#"frame has no parameter "x" (at 7): it has no parameters"#),
    ] {
        assert_eq!(refused(text), message, "{text}");
    }
}

#[test]
fn twice_the_text_is_twice_the_work() {
    let work = |text: &str| {
        let before = READ.get();
        let _ = Spec::<Shapes>::parse(text);
        READ.get() - before
    };
    let parts = [
        " ",
        "(",
        ",",
        "a",
        "a=b,",
        "\"",
        "\\\"",
        "{a=1},",
        "frame(",
        "square(fallback=",
        "dot(),",
        "\u{e4}",
        "wait(1s),",
        "flag,",
        "{",
        "a=",
    ];
    for part in parts {
        for begin in [
            "",
            "square(number=",
            "square(text=",
            "square(text=\"",
            "square(list={",
            "square(named={",
            "square(numbers={",
            "square(timed=",
        ] {
            let of = |length: usize| format!("{begin}{}", part.repeat(length / part.len()));
            let (once, twice) = (work(&of(5_000)), work(&of(10_000)));
            assert!(once <= 4 * 5_100, "{begin}{part}: {once}");
            assert!(twice <= 2 * once + 100, "{begin}{part}: {once}, {twice}");
        }
    }
}

#[test]
fn times_are_read_exactly() {
    for (text, nanos) in [
        ("1ns", Some(1)),
        ("1.5us", Some(1_500)),
        ("0001.2500s", Some(1_250_000_000)),
        ("0.0000000000001h", None),
        ("0.0000000000025h", Some(9)),
        ("0.00000000000250h", None),
        ("18446744073709551615ns", Some(u64::MAX)),
        ("18446744073709551616ns", None),
        ("5124096h", None),
        ("1", None),
        (".5s", None),
        ("1.s", None),
        ("1.5.5s", None),
        ("1min", None),
        ("s", None),
        ("-1s", None),
    ] {
        assert_eq!(time::read(text), nanos.map(Duration::from_nanos), "{text}");
    }
}
