//! Connects to a host that has several IP addresses (RFC 8305, "Happy Eyeballs").
//!
//! This crate does no I/O and has no clock. Callers provide the attempt to connect and the timer.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

/// How long an attempt to connect may take before the next address is tried as well. RFC 8305, section 8, recommends
/// 250 ms (Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Tries to connect to each of `addresses`, and returns the result of the first attempt that succeeds. If all attempts
/// fail, returns the error of the one that failed last. Returns `None` if there are no addresses.
///
/// The addresses are tried in the given order, but with alternating address families. The next attempt begins when an
/// attempt has failed, or when 250 ms have passed since the last one began. The remaining attempts are dropped.
/// `sleep` returns a future that ends after the given time.
pub async fn race_addresses<T, E, F, S>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> F,
    sleep: impl Fn(Duration) -> S,
) -> Option<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
    S: Future<Output = ()>,
{
    let mut waiting = alternating(addresses).into_iter();
    let mut attempts = Attempts(waiting.next().map(|address| Box::pin(attempt(address))).into_iter().collect());
    loop {
        let is_last = waiting.len() == 0;
        let mut next_is_due =
            pin!(async { if is_last { std::future::pending().await } else { sleep(ATTEMPT_DELAY).await } });
        let ended = std::future::poll_fn(|cx| match attempts.poll_next(cx) {
            Poll::Pending => next_is_due.as_mut().poll(cx).map(|()| None),
            ready => ready.map(Some),
        });
        let failed = match ended.await {
            Some(ended) => match ended? {
                Ok(connected) => return Some(Ok(connected)),
                Err(error) => Some(error),
            },
            None => None,
        };
        match (waiting.next(), failed) {
            (Some(address), _) => attempts.0.push(Box::pin(attempt(address))),
            (None, Some(error)) if attempts.0.is_empty() => return Some(Err(error)),
            (None, _) => {}
        }
    }
}

/// The attempts that have not ended, the oldest first. There are as many as a host has addresses, so all are polled.
struct Attempts<F>(Vec<Pin<Box<F>>>);

impl<F: Future> Attempts<F> {
    /// Returns the output of an attempt that has ended. `None` if there are no attempts.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let ended = self.0.iter_mut().enumerate().find_map(|(index, attempt)| match attempt.as_mut().poll(cx) {
            Poll::Ready(output) => Some((index, output)),
            Poll::Pending => None,
        });
        match ended {
            Some((index, output)) => {
                self.0.remove(index);
                Poll::Ready(Some(output))
            }
            None => Poll::Pending,
        }
    }
}

/// Returns the addresses in the resolver's order, but with alternating address families as long as both remain (RFC
/// 8305, section 4). If one family does not work, it costs one delay instead of one delay for each of its addresses.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let of = |first: bool| addresses.iter().copied().filter(move |address| (address.is_ipv4() == first_is_v4) == first);
    let (mut ones, mut others) = (of(true), of(false));
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < addresses.len() {
        order.extend(ones.next().into_iter().chain(others.next()));
    }
    order
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        future::{pending, poll_fn},
        rc::Rc,
    };

    use futures::{FutureExt, executor::block_on};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    /// A clock that moves to the next timer when no attempt can go on.
    #[derive(Clone, Default)]
    struct Time(Rc<Cell<Duration>>);

    impl Time {
        fn sleep(&self, time: Duration) -> impl Future<Output = ()> + use<> {
            let (clock, end) = (self.clone(), self.0.get() + time);
            poll_fn(move |_| if clock.0.get() >= end { Poll::Ready(()) } else { Poll::Pending })
        }
    }

    type Outcome = (Option<Result<SocketAddr, &'static str>>, Vec<u128>, u128);

    /// Races attempts: port 1 never answers, port 2 refuses at once, other ports accept after one second. Returns the
    /// result, the start of each attempt and the end of the race, in milliseconds.
    fn raced(texts: &[&str]) -> Outcome {
        let (time, attempts) = (Time::default(), RefCell::new(Vec::new()));
        let attempt = |address: SocketAddr| {
            attempts.borrow_mut().push(time.0.get().as_millis());
            let time = time.clone();
            async move {
                match address.port() {
                    1 => pending().await,
                    2 => Err("refused"),
                    _ => {
                        time.sleep(Duration::from_secs(1)).await;
                        Ok(address)
                    }
                }
            }
        };
        let addresses = addresses(texts);
        let mut race = pin!(race_addresses(&addresses, attempt, |delay| time.sleep(delay)));
        let result = loop {
            if let Some(result) = race.as_mut().now_or_never() {
                break result;
            }
            time.0.set(time.0.get() + Duration::from_millis(1));
        };
        (result, attempts.borrow().clone(), time.0.get().as_millis())
    }

    #[test]
    fn a_silent_address_costs_a_quarter_of_a_second() {
        let (result, attempts, over) = raced(&["[::1]:1", "127.0.0.1:80"]);
        assert_eq!(result, Some(Ok("127.0.0.1:80".parse().expect("an address"))));
        assert_eq!((attempts, over), (vec![0, 250], 1250));
    }

    #[test]
    fn one_that_refuses_costs_nothing_and_one_that_is_slow_may_still_be_first() {
        let (result, attempts, over) = raced(&["[::1]:2", "[::2]:2", "[::3]:80", "[::4]:80"]);
        assert_eq!(result, Some(Ok("[::3]:80".parse().expect("an address"))));
        assert_eq!((attempts, over), (vec![0, 0, 0, 250], 1000));
    }

    #[test]
    fn the_last_failure_is_returned_and_none_without_addresses() {
        assert_eq!(raced(&["[::1]:2", "127.0.0.1:2"]), (Some(Err("refused")), vec![0, 0], 0));
        assert_eq!(raced(&[]), (None, vec![], 0));
    }

    #[test]
    fn no_attempt_is_made_before_the_race_is_polled_and_none_is_left() {
        let alive = Rc::new(());
        let addresses = addresses(&["[::1]:1", "127.0.0.1:80"]);
        let race = race_addresses(
            &addresses,
            |address| {
                let alive = Rc::clone(&alive);
                async move {
                    let _alive = alive;
                    if address.port() == 1 { pending().await } else { Ok::<_, ()>(address) }
                }
            },
            |_| std::future::ready(()),
        );
        assert_eq!(Rc::strong_count(&alive), 1);
        assert_eq!(block_on(race), Some(Ok(addresses[1])));
        assert_eq!(Rc::strong_count(&alive), 1);
    }

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_choice() {
        for (given, order) in [
            (&["[::1]:1", "[::2]:1", "1.1.1.1:1"][..], &["[::1]:1", "1.1.1.1:1", "[::2]:1"][..]),
            (&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "[::2]:1"], &["1.1.1.1:1", "[::1]:1", "2.2.2.2:1", "[::2]:1"]),
            (&["1.1.1.1:1", "2.2.2.2:1"], &["1.1.1.1:1", "2.2.2.2:1"]),
            (&[], &[]),
        ] {
            assert_eq!(alternating(&addresses(given)), addresses(order));
        }
    }
}
