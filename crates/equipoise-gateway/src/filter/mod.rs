//! Filters: which requests are let through, and what is changed in messages.

mod address;
mod fields;
mod pattern;
mod redirect;
mod reply_future;
mod rules;
mod uri;

pub use self::{
    address::{AddressRanges, InvalidRange},
    fields::{FieldEdits, Fields, FieldsFuture, FieldsLayer, InvalidEdit, SecurityFields},
    pattern::{InvalidPattern, PathPattern},
    redirect::{InvalidRedirect, RedirectLayer, RedirectRule, RedirectStats, Redirects},
    reply_future::ReplyFuture,
    rules::{
        Filter, FilterFuture, FilterLayer, FilterRules, FilterStats, InvalidRule, LimitedBody, LimitedBodyError, Rule,
        RuleError, RuleStats,
    },
    uri::{OriginalPath, PathAction, PathFault, UriLayer, UriPolicy, UriStats, Uris},
};
