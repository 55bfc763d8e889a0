//! The explanation of picks: what is asked, and the answer.

mod pool;

use std::{fmt, future::Future, net::IpAddr, pin::Pin, sync::Arc};

use equipoise_core::{Explanation, PickError};
use http::Request;

type Answering = Pin<Box<dyn Future<Output = Result<ExplainAnswer, String>> + Send>>;

/// An application's own explanation of picks.
pub(crate) type Explainer = Arc<dyn Fn(ExplainQuestion) -> Answering + Send + Sync>;

/// A request whose pick is to be explained. The [status page](crate::page) makes it from its form.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ExplainQuestion {
    /// The head of the request: its method, path and headers. If the address of the client is known, the request has it
    /// as the extension
    /// [`PeerAddr`](https://docs.rs/equipoise-affinity/latest/equipoise_affinity/source/struct.PeerAddr.html) (with the
    /// feature `affinity`).
    pub request: Request<()>,
    /// The address of the client. `None` if it was not given.
    pub client: Option<IpAddr>,
    /// The key for the pool's strategy. `None` if it was not given. It takes precedence over a key that the application
    /// would read from the request.
    pub key: Option<Vec<u8>>,
}

/// Which endpoint a request would get, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExplainAnswer {
    /// What was decided before the pick, for people. Example: `bound to web-3`.
    pub steps: Vec<String>,
    /// The explanation of the pick. `Err`: the request would be refused before it reaches the pool.
    pub pick: Result<Explanation, PickError>,
}

impl ExplainAnswer {
    /// Creates an answer without steps.
    #[must_use]
    pub fn new(pick: Result<Explanation, PickError>) -> Self {
        Self { steps: Vec::new(), pick }
    }

    /// Adds a step: something that was decided before the pick, for people.
    #[must_use]
    pub fn step(mut self, step: impl Into<String>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl From<Explanation> for ExplainAnswer {
    fn from(pick: Explanation) -> Self {
        Self::new(Ok(pick))
    }
}

#[cfg(feature = "affinity")]
impl From<equipoise_affinity::AffinityExplanation> for ExplainAnswer {
    fn from(explained: equipoise_affinity::AffinityExplanation) -> Self {
        let step = match &explained.endpoint {
            Ok(endpoint) => format!("the session is bound to {endpoint}"),
            Err(_) if explained.keyed => "the strategy places the session by its key".to_owned(),
            Err(reason) => format!("the session is not bound: {reason}"),
        };
        Self::new(explained.pick).step(step)
    }
}

/// Writes one line for each step, and the explanation of the pick as a table.
impl fmt::Display for ExplainAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        match &self.pick {
            Ok(pick) => write!(f, "{pick}"),
            Err(error) => write!(f, "refused: {error}"),
        }
    }
}
