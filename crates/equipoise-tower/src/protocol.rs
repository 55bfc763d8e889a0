use std::borrow::Cow;

use equipoise_core::{AnyTarget, Lease};

use crate::{attempt::Attempt, placement::Placement};

/// What a balancer has to know of the requests and responses it handles: [`Http`](crate::Http),
/// [`Plain`](crate::Plain), or your own.
pub trait Protocol<Req, Res> {
    /// What is kept of a request while it is tried, to send it again.
    type Kept;

    /// The response as the caller gets it: with the lease riding on it for as long as it lasts.
    type Response;

    /// What decides where the request goes, for strategies that place by key.
    fn key<'r>(&self, request: &'r Req) -> Option<Cow<'r, [u8]>>;

    /// Where it is to go, if that was decided before it came here. Nothing by default.
    fn placement<'r>(&self, request: &'r Req) -> Option<&'r Placement> {
        let _ = request;
        None
    }

    /// Takes out of a request what was meant for this balancer, before an endpoint's service gets it: it may be a balancer
    /// too. Nothing by default.
    fn detach(&self, request: &mut Req) {
        let _ = request;
    }

    /// The attempt of the balancer above that the request is, if this balancer is an endpoint of another one. It bounds
    /// the retries of nested balancers: see [`Balance::max_attempts`](crate::Balance::max_attempts). `None` by default.
    fn outer_attempt<'r>(&self, request: &'r Req) -> Option<&'r Attempt> {
        let _ = request;
        None
    }

    /// Called with each request before it goes to an endpoint's service, to note the attempt in it. Does nothing by
    /// default.
    fn on_attempt(&self, request: &mut Req, attempt: Attempt) {
        let _ = (request, attempt);
    }

    /// Called with the response of the last attempt, after [`attach`](Self::attach), to note the attempt in it. Does
    /// nothing by default.
    fn on_response(&self, response: &mut Self::Response, attempt: Attempt) {
        let _ = (response, attempt);
    }

    /// Prepares a request that may have to be sent again. Called only where there is another endpoint to turn to.
    fn keep(&self, request: Req) -> (Req, Option<Self::Kept>);

    /// Whether sending it twice is as good as sending it once, so that it may be sent again although an endpoint may
    /// have acted on it.
    fn is_idempotent(&self, kept: &Self::Kept) -> bool;

    /// The request again, if its body was not touched or can be repeated.
    fn restore(&self, kept: Self::Kept) -> Option<Req>;

    /// Takes the latency, records the verdict now or later, and lets the lease ride on the response.
    fn attach(&self, response: Res, lease: Lease<AnyTarget>) -> Self::Response;
}
