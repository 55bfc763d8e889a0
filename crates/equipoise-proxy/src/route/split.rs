use equipoise_affinity::key::SessionKey;
use equipoise_tower::RequestHead;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Several services that share the requests of a route by weight, for example for a canary release.
///
/// With a [key](Self::sticky), requests with the same key get the same service. If weights change, as few keys as
/// possible move between the first two services: with 10 % on the second service and then 20 %, the clients of the
/// first 10 % stay there.
///
/// The name of the route is part of the hash: the keys of the first 10 % of one route are not those of another one.
/// Renaming a route therefore moves keys.
///
/// ```
/// use equipoise_affinity::key::SessionKey;
/// use equipoise_proxy::route::Split;
///
/// let split = Split::new([("canary", 5), ("stable", 95)])?.sticky(SessionKey::cookie("uid")?);
/// # drop(split);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Split<T> {
    /// Each with the sum of its weight and the weights before it.
    choices: Vec<(T, u64)>,
    key: Option<SessionKey>,
    /// The seed of the hash of keys.
    seed: u64,
}

/// The weights of a [`Split`] cannot be used: there is no service with a weight above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a split needs a service with a weight above 0")]
#[non_exhaustive]
pub struct InvalidSplit;

impl<T> Split<T> {
    /// Creates a split of services with their weights. A service with weight 0 gets no requests.
    ///
    /// # Errors
    ///
    /// [`InvalidSplit`] if the sum of the weights is 0.
    pub fn new(services: impl IntoIterator<Item = (T, u32)>) -> Result<Self, InvalidSplit> {
        let mut sum = 0_u64;
        let choices: Vec<_> = services
            .into_iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(service, weight)| {
                sum = sum.saturating_add(weight.into());
                (service, sum)
            })
            .collect();
        if choices.is_empty() { Err(InvalidSplit) } else { Ok(Self { choices, key: None, seed: 0 }) }
    }

    /// Creates a split with a single service.
    pub(super) fn single(service: T) -> Self {
        Self { choices: vec![(service, 1)], key: None, seed: 0 }
    }

    /// Draws the services of this route independently of those of other routes.
    pub(super) fn for_route(mut self, name: &str) -> Self {
        self.seed = xxh3_64(name.as_bytes());
        self
    }

    /// Gives requests with the same key to the same service. Requests without a key get a random service. Default: all
    /// requests get a random one.
    #[must_use]
    pub fn sticky(mut self, key: SessionKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the service for a request.
    pub fn choose(&self, head: RequestHead<'_>) -> Option<&T> {
        let (last, sum) = self.choices.last()?;
        if self.choices.len() == 1 {
            return Some(last);
        }
        let key = self.key.as_ref().and_then(|key| key.of(head).found());
        let random = key.map_or_else(rand::random, |key| xxh3_64_with_seed(&key, self.seed));
        // Below the sum, and in proportion to `random`.
        let point = u64::try_from((u128::from(random) * u128::from(*sum)) >> 64).unwrap_or_default();
        self.choices.iter().find(|(_, end)| point < *end).map(|(service, _)| service)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn share(split: &Split<&str>, name: &str) -> usize {
        let is_chosen = |user: &usize| {
            let request = Request::get("/").header("x-user", user.to_string()).body(()).expect("a request");
            split.choose(RequestHead::of(&request)) == Some(&name)
        };
        (0..10_000).filter(is_chosen).count()
    }

    fn sticky(canary: u32) -> Split<&'static str> {
        let split = Split::new([("canary", canary), ("none", 0), ("stable", 100 - canary)]).expect("weights");
        split.sticky(SessionKey::header("x-user").expect("a name"))
    }

    #[test]
    fn shares_follow_the_weights() {
        // The keys are fixed, so the shares are the same each time.
        let canary = share(&sticky(10), "canary");
        assert!((900..1100).contains(&canary), "{canary}");
        assert_eq!(share(&sticky(10), "none"), 0);
        assert_eq!(share(&sticky(0), "canary"), 0);
        // 10 000 draws with p = 0.5 differ from 5 000 by more than 500 once in 10^23 times.
        let random = Split::new([("a", 1), ("b", 1)]).expect("weights");
        assert!((4500..5500).contains(&share(&random, "a")));
    }

    #[test]
    fn clients_of_a_canary_stay_there_while_it_grows() {
        let (before, after) = (sticky(10), sticky(20));
        for user in 0..1000 {
            let request = Request::get("/").header("x-user", user.to_string()).body(()).expect("a request");
            let head = RequestHead::of(&request);
            if before.choose(head) == Some(&"canary") {
                assert_eq!(after.choose(head), Some(&"canary"));
            }
        }
    }

    #[test]
    fn routes_share_their_keys_independently() {
        let (one, other) = (sticky(50).for_route("one"), sticky(50).for_route("other"));
        let is_same = |user: &usize| {
            let request = Request::get("/").header("x-user", user.to_string()).body(()).expect("a request");
            let head = RequestHead::of(&request);
            one.choose(head) == other.choose(head)
        };
        // 10 000 fixed keys: half of them are expected.
        let same = (0..10_000).filter(is_same).count();
        assert!((4500..5500).contains(&same), "{same}");
    }

    #[test]
    fn weights_of_zero_are_refused() {
        assert_eq!(Split::new([("a", 0)]).err(), Some(InvalidSplit));
        assert_eq!(Split::<()>::new([]).err(), Some(InvalidSplit));
    }
}
