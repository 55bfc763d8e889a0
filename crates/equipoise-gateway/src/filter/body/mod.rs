//! Filters of bodies: they look at the bytes of requests or responses, and may change them, while these are forwarded.

mod filtered;
mod limit;
mod observe;
mod reject;
mod replace;
mod request;
mod response;
mod search;
mod traits;

pub use self::{
    filtered::{BodyFilterStats, FilteredBody, FilteredBodyError},
    limit::LimitSize,
    observe::{BodyEvent, ObserveBody},
    reject::RejectText,
    replace::ReplaceText,
    request::{RequestBodyFilterLayer, RequestBodyFilters},
    response::{ResponseBodyFilterFuture, ResponseBodyFilterLayer, ResponseBodyFilters},
    search::InvalidTexts,
    traits::{BodyFilter, BodyOutput, BodyRejected, FilterRequest, FilterResponse, FilteredResponse},
};
