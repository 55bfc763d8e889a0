//! Health in the simulator: who is taken out, when, and how they come back.

mod checks;
mod common;
mod repeatable;
mod requests;
