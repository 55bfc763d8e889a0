use std::fmt;

use equipoise_core::{EndpointId, Explanation, PickError};
use http::Request;

use super::Affinity;
use crate::outcome::UnboundReason;

/// Where a request would go, and why: see [`Affinity::explain`]. `Display` writes it as text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AffinityExplanation {
    /// The endpoint that the request is bound to, or why it is bound to none.
    pub endpoint: Result<EndpointId, UnboundReason>,
    /// Whether the strategy places the request by its key ([`Mode::hash`](crate::Mode::hash)). Such a request is bound
    /// to no endpoint.
    pub keyed: bool,
    /// The pool's own explanation, or the error of a request that would be refused before it reaches the pool.
    pub pick: Result<Explanation, PickError>,
}

impl Affinity {
    /// Explains where a request would go: the endpoint it is bound to, whether that can take it, and what the pool
    /// would do. It runs the code that places requests.
    ///
    /// It takes no lease and binds nothing. But it asks the session store, for which this is a use of the session. A
    /// key that the balancer itself takes from the request ([`HttpProtocol::key`](equipoise_tower::HttpProtocol::key)) is not
    /// considered.
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
