//! Checks the simulator and the strategies against results of queueing theory and against published figures.
//!
//! ```text
//! cargo run --release -p equipoise-sim --bin checks            all checks, some minutes
//! cargo run --release -p equipoise-sim --bin checks 3 3b 21    only the checks with these numbers
//! cargo run --release -p equipoise-sim --bin checks -- --quick only the quick checks, with short runs
//! cargo run --release -p equipoise-sim --bin checks -- --speed no checks: measures the speed and memory of the simulator
//! ```
//!
//! Exit status: 0 if all checks hold, 1 if a check does not hold or the measurement fails, 2 for invalid arguments.

#![forbid(unsafe_code)]

#[path = "../../checks/mod.rs"]
mod checks;
#[path = "../../checks/speed.rs"]
mod speed;

use std::{env, process::ExitCode};

use checks::{ALL, Check, Effort};

fn main() -> ExitCode {
    let (flags, numbers): (Vec<String>, Vec<String>) = env::args().skip(1).partition(|arg| arg.starts_with('-'));
    if flags == ["--speed"] && numbers.is_empty() {
        return measure();
    }
    let effort = match flags.as_slice() {
        [] => Effort::Full,
        [flag] if flag == "--quick" => Effort::Quick,
        _ => return refuse(&flags.join(" ")),
    };
    if let Some(unknown) = numbers.iter().find(|number| ALL.iter().all(|check| check.number != **number)) {
        return refuse(unknown);
    }
    let chosen = |check: &&Check| numbers.iter().any(|number| check.number == number);
    let all = |check: &&Check| numbers.is_empty() && (effort == Effort::Full || check.is_quick);
    let failed = ALL.iter().filter(|check| chosen(check) || all(check)).filter(|check| !passes(check, effort)).count();
    println!("{}", if failed == 0 { "all checks hold".into() } else { format!("{failed} deviate") });
    ExitCode::from(u8::from(failed > 0))
}

fn passes(check: &Check, effort: Effort) -> bool {
    match check.run(effort) {
        Ok(outcome) => {
            println!("{outcome}");
            outcome.holds()
        }
        Err(error) => {
            println!("{:<3} {error}\n", check.number);
            false
        }
    }
}

fn measure() -> ExitCode {
    match speed::measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(argument: &str) -> ExitCode {
    let numbers: Vec<&str> = ALL.iter().map(|check| check.number).collect();
    eprintln!(
        "unknown argument {argument:?}; usage: checks [--quick] [NUMBER…], or checks --speed. Numbers: {}",
        numbers.join(" ")
    );
    ExitCode::from(2)
}
