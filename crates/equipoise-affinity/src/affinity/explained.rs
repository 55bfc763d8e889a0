use std::fmt;

use equipoise_core::{EndpointId, Explanation, PickError};
use http::Request;

use super::Affinity;
use crate::outcome::Unbound;

/// Why a request would go where it would: see [`Affinity::explain`]. Prints as a text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// Whom it belongs to, or why to nobody.
    pub home: Result<EndpointId, Unbound>,
    /// Whether it has a key by which the strategy places it ([`Mode::hash`](crate::Mode::hash)); it then has no home.
    pub keyed: bool,
    /// What the pool makes of it; or that it would not be let in.
    pub pick: Result<Explanation, PickError>,
}

impl Affinity {
    /// Where a request would go and why: whom it belongs to, whether that endpoint can take it, and what the pool makes
    /// of it. Runs the code that places requests. It takes no lease and binds nothing; but it asks the session store,
    /// for which that is a use of the session. What the balancer itself takes for a key
    /// ([`HttpProtocol::key`](equipoise_tower::HttpProtocol::key)) it does not know.
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
    pub async fn explain<B>(&self, request: &Request<B>) -> Explained {
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
                Explained { home: found.endpoint, keyed: found.keyed, pick: Ok(pick) }
            }
            Err(why) => Explained { home: Err(why), keyed: false, pick: Err(PickError::Unbound) },
        }
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.home {
            Ok(home) => writeln!(f, "belongs to {home}")?,
            Err(_) if self.keyed => writeln!(f, "placed by its key")?,
            Err(why) => writeln!(f, "belongs to nobody: {why}")?,
        }
        match &self.pick {
            Ok(pick) => write!(f, "{pick}"),
            Err(error) => writeln!(f, "not let in: {error}"),
        }
    }
}
