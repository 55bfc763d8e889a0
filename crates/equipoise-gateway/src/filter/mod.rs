//! Filters: which requests are let through, and what is changed in messages.
//!
//! | layer | what it does |
//! | --- | --- |
//! | [`UriLayer`] | refuses or rewrites paths that servers read differently |
//! | [`FilterLayer`] | allows or denies requests by method, path, fields, query, size and address |
//! | [`MaintenanceLayer`] | answers requests with status 503 while a switch is on |
//! | [`RedirectLayer`] | answers requests with redirects |
//! | [`FieldsLayer`] | adds, changes and removes header fields of requests and responses |
//! | [`RequestBodyFilterLayer`] | gives the bodies of requests to [filters](BodyFilter), which may change them |
//! | [`ResponseBodyFilterLayer`] | gives the bodies of responses to filters |
//!
//! Each works around any tower service for HTTP. Put a [`UriLayer`] outermost, so that all others, the cache and the
//! endpoint see the same path.
//!
//! ```
//! use equipoise_gateway::filter::{FieldEdits, FieldsLayer, FilterLayer, FilterRules, Rule, UriLayer};
//! use tower::ServiceBuilder;
//!
//! let rules = FilterRules::new([
//!     Rule::allow("office").path("/admin/**").addresses("192.0.2.0/24".parse()?),
//!     Rule::deny("admin").path("/admin/**"),
//! ])?;
//! let layers = ServiceBuilder::new()
//!     .layer(UriLayer::default())
//!     .layer(FilterLayer::new(rules).max_body_bytes(1 << 20))
//!     .layer(FieldsLayer::new().request(FieldEdits::new().remove_prefix("x-internal-")?));
//! # drop(layers);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod body;
mod exempt;
mod fields;
mod maintenance;
mod pattern;
mod redirect;
mod rules;
mod uri;

#[cfg(feature = "browser")]
pub(crate) use self::exempt::ExemptPaths;
pub use self::{
    address::{AddressRanges, InvalidRange},
    body::{
        BodyEvent, BodyFilter, BodyFilterStats, BodyOutput, BodyRejected, FilterRequest, FilterResponse, FilteredBody,
        FilteredBodyError, FilteredResponse, InvalidTexts, LimitSize, ObserveBody, RejectText, ReplaceText,
        RequestBodyFilterLayer, RequestBodyFilters, ResponseBodyFilterFuture, ResponseBodyFilterLayer,
        ResponseBodyFilters,
    },
    fields::{FieldEdits, Fields, FieldsFuture, FieldsLayer, InvalidEdit, SecurityFields},
    maintenance::{InvalidPage, Maintained, Maintenance, MaintenanceLayer, MaintenancePage, MaintenanceStats},
    pattern::{InvalidPattern, PathPattern},
    redirect::{InvalidRedirect, RedirectLayer, RedirectRule, RedirectStats, Redirects},
    rules::{
        Filter, FilterLayer, FilterRules, FilterStats, InvalidRule, LimitedBody, LimitedBodyError, Rule, RuleError,
        RuleStats,
    },
    uri::{OriginalPath, PathAction, PathFault, UriLayer, UriPolicy, UriStats, Uris},
};
