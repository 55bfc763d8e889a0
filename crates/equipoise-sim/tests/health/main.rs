//! Health in the simulator: who is taken out, when, and how they come back.

mod checks;
mod common;
mod recovery;
mod repeatable;
mod requests;
