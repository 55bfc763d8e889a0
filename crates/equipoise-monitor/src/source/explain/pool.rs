use std::{future::Future, sync::Arc};

use equipoise_core::{Explanation, PickRequest, SourcePrefix};

use super::{ExplainAnswer, ExplainQuestion};
use crate::source::WatchedPool;

impl WatchedPool {
    /// Sets how picks of this pool are explained on the [status page](crate::page). Use it if the application decides
    /// something before the pick, such as the route or the key of the request. The function should run the same code as
    /// a request does. An `Err` is a text that says what is wrong with the question.
    ///
    /// Default: the affinity of the pool explains the pick, if the monitor knows it. Without affinity, and for a request
    /// whose session is not bound, the pool explains it by the [key](ExplainQuestion::key) of the question. Without
    /// affinity and without a key, the key is the address of the client, in the form of
    /// [`SourcePrefix`](https://docs.rs/equipoise-core/latest/equipoise_core/struct.SourcePrefix.html).
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Maglev, PickRequest, Pool};
    /// use equipoise_monitor::{WatchedPool, page::{ExplainAnswer, ExplainQuestion}};
    ///
    /// let pool: Pool<()> = Pool::new(Maglev::new());
    /// pool.add(EndpointSpec::new("a:80"), ())?;
    /// let explained = pool.clone();
    /// // The requests of this application are placed by their path.
    /// let watched = WatchedPool::new("web", &pool).explain_with(move |question: ExplainQuestion| {
    ///     let path = question.request.uri().path();
    ///     let pick = explained.explain(&PickRequest::new().key(path.as_bytes()));
    ///     let answer = ExplainAnswer::from(pick).step(format!("the key is {path:?}"));
    ///     async { Ok(answer) }
    /// });
    /// # Ok::<(), equipoise_core::UpdateError>(())
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "page")))]
    pub fn explain_with<F, A>(mut self, explain: F) -> Self
    where
        F: Fn(ExplainQuestion) -> A + Send + Sync + 'static,
        A: Future<Output = Result<ExplainAnswer, String>> + Send + 'static,
    {
        self.explainer = Some(Arc::new(move |question| Box::pin(explain(question))));
        self
    }

    /// Explains the pick for a request, by the code that picks. An `Err` says what is wrong with the question.
    pub(crate) async fn explain(&self, question: ExplainQuestion) -> Result<ExplainAnswer, String> {
        if let Some(explainer) = &self.explainer {
            return explainer(question).await;
        }
        #[cfg(feature = "affinity")]
        if let Some(affinity) = &self.affinity {
            let explained = affinity.explain(&question.request).await;
            let is_unbound = explained.endpoint.is_err() && !explained.keyed && explained.pick.is_ok();
            let answer = ExplainAnswer::from(explained);
            return Ok(match question.key {
                Some(key) if is_unbound => ExplainAnswer { pick: Ok(self.explain_by(Some(&key))), ..answer },
                _ => answer,
            });
        }
        let ExplainQuestion { client, key, .. } = question;
        Ok(match (key, client) {
            (Some(key), _) => self.explain_by(Some(&key)).into(),
            (None, Some(client)) => {
                let key = SourcePrefix::default().key(client);
                ExplainAnswer::from(self.explain_by(Some(&key))).step(format!("the key is the address {client}"))
            }
            (None, None) => self.explain_by(None).into(),
        })
    }

    fn explain_by(&self, key: Option<&[u8]>) -> Explanation {
        self.pool.explain(&key.map_or(PickRequest::new(), |key| PickRequest::new().key(key)))
    }
}
