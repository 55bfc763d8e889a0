//! Results of queueing theory.

/// The probability of waiting in M/M/c (Erlang's C).
fn waits(servers: u32, load: f64) -> f64 {
    let offered = load * f64::from(servers);
    let blocked = (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
    blocked / (1.0 - load * (1.0 - blocked))
}

/// The mean time in M/M/c, in service times.
pub(super) fn mmc(servers: u32, load: f64) -> f64 {
    1.0 + waits(servers, load) / (f64::from(servers) * (1.0 - load))
}

/// The root of D/M/1: an arrival finds n or more there with probability σⁿ.
pub(super) fn dm1(load: f64) -> f64 {
    (0..1_000).fold(0.5, |sigma: f64, _| (-(1.0 - sigma) / load).exp())
}

/// The share of servers with at least `length` requests when each request goes to the best of `choices` among
/// infinitely many (Vvedenskaya, Dobrushin, Karpelevich 1996; Mitzenmacher 1996).
pub(super) fn level(load: f64, choices: i32, length: i32) -> f64 {
    load.powf((f64::from(choices).powi(length) - 1.0) / f64::from(choices - 1))
}

/// The mean time in the same system, in service times, by Little's law.
pub(super) fn best_of(load: f64, choices: i32) -> f64 {
    (1..64).map(|length| level(load, choices, length)).sum::<f64>() / load
}

/// The mean length of the longest of `queues` independent queues, each of which has at least `length` requests with
/// probability `tail(length)`.
pub(super) fn longest(queues: i32, tail: impl Fn(i32) -> f64) -> f64 {
    (1..1_000).map(|length| 1.0 - (1.0 - tail(length)).powi(queues)).sum()
}

/// A quantile of an exponentially distributed time of mean 1.
pub(super) fn quantile(part: f64) -> f64 {
    -(1.0 - part).ln()
}
