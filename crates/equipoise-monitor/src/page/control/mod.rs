//! Changes of endpoints: who may make them, and what they do.

mod apply;
mod command;
mod csrf;
mod operator;

use std::sync::Arc;

use http::{Response, StatusCode, request::Parts};
use http_body::Body;

pub(super) use self::csrf::CsrfToken;
pub use self::operator::{Operator, Refused};
use self::{command::Command, csrf::same_origin, operator::Authorise};
use super::{body::PageBody, reply::Problem};
use crate::monitor::Monitor;

/// How changes are protected.
#[derive(Clone)]
pub(super) struct Control {
    authorise: Authorise,
    pub(super) token: CsrfToken,
}

impl Control {
    pub(super) fn new(authorise: impl Fn(&Parts) -> Result<Operator, Refused> + Send + Sync + 'static) -> Self {
        Self { authorise: Arc::new(authorise), token: CsrfToken::random() }
    }

    /// Carries out the command in a request, and returns its answer.
    pub(super) async fn change<B>(
        &self,
        monitor: &Monitor,
        head: &Parts,
        body: B,
    ) -> Result<Response<PageBody>, Problem>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Nothing of the body is read before it is known that the sender may send it.
        same_origin(head)?;
        let operator = (self.authorise)(head).map_err(|refused| refused.problem())?;
        self.token.check(head)?;
        let command = Command::receive(&head.headers, body).await?;
        let pools = monitor.pools();
        let pool = pools.iter().find(|pool| *pool.name == *command.pool).ok_or_else(|| {
            let names: Vec<String> = pools.iter().map(|pool| format!("{:?}", pool.name)).collect();
            let text = format!("there is no pool {:?}: the pools are {}", command.pool, names.join(", "));
            Problem::new(StatusCode::NOT_FOUND, text)
        })?;
        apply::apply(monitor, pool, &command, &operator).await
    }
}
