//! Health in the simulator: when servers become unhealthy, and how they recover.

mod checks;
mod common;
mod recovery;
mod repeatable;
mod requests;
