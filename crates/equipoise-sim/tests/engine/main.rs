//! What the engine does, event by event.

mod attempts;
mod common;
mod faults;
mod misuse;
mod moves;
mod properties;
mod repeatable;
mod settings;
mod stopped;
