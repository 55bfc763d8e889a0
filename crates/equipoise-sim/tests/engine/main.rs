//! Tests of the engine through scenarios and reports.

mod attempts;
mod common;
mod faults;
mod held;
mod hooks;
mod misuse;
mod moves;
mod properties;
mod repeatable;
mod settings;
mod stopped;
mod unequal;
mod waiting;
