use std::borrow::Cow;

use equipoise_core::{AnyTarget, Lease};

use crate::{attempt::Attempt, error_class::ErrorClass, placement::Placement};

/// How a balancer handles a type of requests and responses: their keys, copies for failover, and verdicts. Implemented by
/// [`HttpProtocol`](crate::HttpProtocol) and [`PlainProtocol`](crate::PlainProtocol); implement it for protocols of your
/// own.
pub trait Protocol<Req, Res> {
    /// What is kept of a request during an attempt, to send it again.
    type Kept;

    /// The response as the caller gets it. It holds the lease for as long as the endpoint works on it.
    type Response;

    /// What strategies that place by key place the request by. Called once per request.
    fn key<'r>(&self, request: &'r Req) -> Option<Cow<'r, [u8]>>;

    /// Takes the request's placement out of it: where the request is to go, if an earlier layer has decided that. Called once
    /// per request, before anything else but [`key`](Self::key), so that the placement does not reach an endpoint that is a
    /// balancer too. `None` by default.
    fn take_placement(&self, request: &mut Req) -> Option<Placement> {
        let _ = request;
        None
    }

    /// If this balancer is an endpoint of another one: the attempt of the outer balancer that this request is. It limits the
    /// retries of nested balancers: see [`Balance::max_attempts`](crate::Balance::max_attempts). `None` by default.
    fn outer_attempt<'r>(&self, request: &'r Req) -> Option<&'r Attempt> {
        let _ = request;
        None
    }

    /// Called with each request before it goes to an endpoint's service, so that the attempt can be noted in it. Does
    /// nothing by default.
    fn on_attempt(&self, request: &mut Req, attempt: Attempt) {
        let _ = (request, attempt);
    }

    /// Called with the response of the last attempt, after [`attach`](Self::attach), so that the attempt can be noted in
    /// it. Does nothing by default.
    fn on_response(&self, response: &mut Self::Response, attempt: Attempt) {
        let _ = (response, attempt);
    }

    /// Prepares a request that may have to be sent again: returns the request to send, and what is needed to make it again.
    /// Called only if there is another endpoint for it.
    fn keep(&self, request: Req) -> (Req, Option<Self::Kept>);

    /// Whether sending the request twice has the same effect as sending it once. Then it may be sent again although an
    /// endpoint may have processed it.
    fn is_idempotent(&self, kept: &Self::Kept) -> bool;

    /// Makes the request again. `None` if that is not possible, because part of its body was consumed and cannot be
    /// repeated.
    fn restore(&self, kept: Self::Kept) -> Option<Req>;

    /// What the error of an attempt means: what counts against the endpoint, and whether the request may be sent to another
    /// one. By default [`ErrorClass::of`].
    fn classify_error(&self, error: &(dyn std::error::Error + 'static)) -> ErrorClass {
        ErrorClass::of(error)
    }

    /// Ends or passes on the lease of a request that got a response: records the latency and the verdict, now or later, and
    /// stores the lease in the response if the endpoint still works on it.
    fn attach(&self, response: Res, lease: Lease<AnyTarget>) -> Self::Response;
}
