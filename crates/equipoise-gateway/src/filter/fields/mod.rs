//! Changes of the header fields of requests and responses.

mod edit;
mod layer;
mod security;
mod template;

pub use self::{
    edit::{FieldEdits, InvalidEdit},
    layer::{Fields, FieldsFuture, FieldsLayer},
    security::SecurityFields,
};
