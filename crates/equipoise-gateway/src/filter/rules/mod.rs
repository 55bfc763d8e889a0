//! Ordered rules that allow or deny requests, and limits of their sizes.

mod body;
mod condition;
mod layer;
mod rule;
mod table;

pub use self::{
    body::{LimitedBody, LimitedBodyError},
    layer::{Filter, FilterLayer},
    rule::{InvalidRule, Rule, RuleError},
    table::{FilterRules, FilterStats, RuleStats},
};
