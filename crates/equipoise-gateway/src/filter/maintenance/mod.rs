//! Maintenance: a switch that answers requests with status 503.

mod layer;
mod page;
mod switch;

pub use self::{
    layer::{Maintained, MaintenanceLayer, MaintenanceStats},
    page::{InvalidPage, MaintenancePage},
    switch::Maintenance,
};
