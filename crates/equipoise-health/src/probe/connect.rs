//! Opens TCP connections for probes.

use std::{net::SocketAddr, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::sleep};

use super::{ProbeError, Target, resolve::resolve};

/// How long an attempt to connect may take before the next address is tried as well. RFC 8305, section 8, recommends
/// 250 ms (Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the target and returns the first connection that is accepted.
///
/// If the name has several addresses, the next attempt begins when an attempt has failed or has taken
/// [`ATTEMPT_DELAY`] (RFC 8305). The remaining attempts are dropped.
pub(super) async fn connect(target: &Target) -> Result<TcpStream, ProbeError> {
    let (host, port) = target.host_and_port()?;
    let addresses = alternating(&resolve(&host, port).await?);
    let none = || ProbeError::Connect(format!("{host} has no address"));
    let connected = race(addresses, TcpStream::connect).await.ok_or_else(none)?;
    connected.map_err(|error| ProbeError::Connect(error.to_string()))
}

/// Returns the result of the first attempt that succeeds. If all attempts fail, returns the error of the last one.
/// Returns `None` if there are no addresses.
async fn race<T, E, F>(addresses: Vec<SocketAddr>, attempt: impl Fn(SocketAddr) -> F) -> Option<Result<T, E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::from_iter(waiting.next().map(&attempt));
    loop {
        let next_is_due =
            async { if waiting.len() == 0 { std::future::pending().await } else { sleep(ATTEMPT_DELAY).await } };
        let failed = tokio::select! {
            biased;
            ended = attempts.next() => match ended? {
                Ok(connected) => return Some(Ok(connected)),
                Err(error) => Some(error),
            },
            () = next_is_due => None,
        };
        match (waiting.next(), failed) {
            (Some(address), _) => attempts.push(attempt(address)),
            (None, Some(error)) if attempts.is_empty() => return Some(Err(error)),
            (None, _) => {}
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

/// Returns the first 80 bytes that a peer has sent, escaped, for an error text.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MAX: usize = 80;
    let more = if bytes.len() > MAX { "…" } else { "" };
    format!("\"{}{more}\"", bytes[..bytes.len().min(MAX)].escape_ascii())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    /// Races attempts: port 1 never answers, port 2 refuses at once, other ports accept after one second. Returns the result,
    /// the start of each attempt and the end of the race, in milliseconds.
    async fn raced(texts: &[&str]) -> (Option<Result<SocketAddr, &'static str>>, Vec<u128>, u128) {
        let begun = Instant::now();
        let attempts = RefCell::new(Vec::new());
        let result = race(addresses(texts), |address: SocketAddr| {
            attempts.borrow_mut().push(begun.elapsed().as_millis());
            async move {
                match address.port() {
                    1 => pending().await,
                    2 => Err("refused"),
                    _ => {
                        sleep(Duration::from_secs(1)).await;
                        Ok(address)
                    }
                }
            }
        })
        .await;
        (result, attempts.into_inner(), begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_quarter_of_a_second() {
        let (result, attempts, over) = raced(&["[::1]:1", "127.0.0.1:80"]).await;
        assert_eq!(result, Some(Ok("127.0.0.1:80".parse().expect("an address"))));
        assert_eq!((attempts, over), (vec![0, 250], 1250));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_costs_nothing_and_one_that_is_slow_may_still_be_first() {
        let (result, attempts, over) = raced(&["[::1]:2", "[::2]:2", "127.0.0.1:80", "127.0.0.2:80"]).await;
        assert_eq!(result, Some(Ok("127.0.0.1:80".parse().expect("an address"))));
        assert_eq!((attempts, over), (vec![0, 0, 0, 250], 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_failure_is_returned_and_none_without_addresses() {
        assert_eq!(raced(&["[::1]:2", "127.0.0.1:2"]).await, (Some(Err("refused")), vec![0, 0], 0));
        assert_eq!(raced(&[]).await, (None, vec![], 0));
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
