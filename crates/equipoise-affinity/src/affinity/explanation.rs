use std::fmt;

use equipoise_core::{EndpointId, Explanation, PickError};
use http::Request;

use super::Affinity;
use crate::outcome::UnboundReason;

/// The answer of [`Affinity::explain`]: to which endpoint a request would go, and why. `Display` writes this
/// explanation as several lines of text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AffinityExplanation {
    /// `Ok`: the id of the endpoint to which the session of the request is bound. `Err`: the reason why the session is
    /// not bound to an endpoint. The mode [`Mode::hash`](crate::Mode::hash) stores no endpoints of sessions, so the
    /// value is always `Err` in this mode.
    pub endpoint: Result<EndpointId, UnboundReason>,
    /// Whether the strategy chooses the endpoint by the request's session key. True only in the mode
    /// [`Mode::hash`](crate::Mode::hash), for a request that has a key.
    pub keyed: bool,
    /// `Ok`: the pool's explanation of which endpoint the pool would pick. `Err`: the request would be refused before
    /// it reaches the pool, with the error [`PickError::Unbound`].
    pub pick: Result<Explanation, PickError>,
}

impl Affinity {
    /// Explains where the pool would send a request now: to which endpoint the session of the request is bound, whether
    /// this endpoint can serve the request, and which endpoint the pool would pick. Runs the same code as for real
    /// requests.
    ///
    /// Sends nothing, does not change to which endpoint the session is bound, and does not count as a request in
    /// flight. But if the mode has a session store, `explain` looks the session up in this store and waits for the
    /// answer, as a request does. The lookup counts as a use of the session, so the session's idle timeout starts
    /// again. The explanation does not consider the key that the balancer itself takes from a request
    /// ([`HttpProtocol::key`](equipoise_tower::HttpProtocol::key)).
    ///
    /// ```
    /// use equipoise_affinity::{Affinity, Mode, key::SessionKey};
    /// use equipoise_core::{EndpointSpec, Maglev, Pool};
    /// use http::Request;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = Pool::new(Maglev::new());
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let affinity = Affinity::new(&pool, Mode::hash(SessionKey::header("x-user")?))?;
    /// println!("{}", affinity.explain(&Request::get("/").header("x-user", "42").body(())?).await);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn explain<B>(&self, request: &Request<B>) -> AffinityExplanation {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.version = request.version();
        head.headers = request.headers().clone();
        head.extensions = request.extensions().clone();
        let mut found = self.find(&mut head);
        if let Some(lookup) = found.lookup.take() {
            found.set_answer(lookup.within(self.store_timeout()).await);
        }
        match self.place(&found) {
            Ok(placement) => {
                let pick = self.shared.members.pool().explain(&placement.request());
                AffinityExplanation { endpoint: found.endpoint, keyed: found.keyed, pick: Ok(pick) }
            }
            Err(why) => AffinityExplanation { endpoint: Err(why), keyed: false, pick: Err(PickError::Unbound) },
        }
    }
}

impl fmt::Display for AffinityExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Ok(endpoint) => writeln!(f, "bound to {endpoint}")?,
            Err(_) if self.keyed => writeln!(f, "placed by its key")?,
            Err(why) => writeln!(f, "not bound: {why}")?,
        }
        match &self.pick {
            Ok(pick) => write!(f, "{pick}"),
            Err(error) => writeln!(f, "refused: {error}"),
        }
    }
}
