//! HAProxy's agent-check protocol: how a program on an endpoint (an agent) reports the state of that endpoint.
//!
//! An agent answers with one line of words. The words are separated by spaces, tabs or commas. Their order and their
//! case do not matter. The line ends at the first CR or LF. [`AgentReply`] is one parsed line. [`AgentState`] is the
//! state of the endpoint after a sequence of lines.
//!
//! | word | meaning |
//! | --- | --- |
//! | `up` | the endpoint is up |
//! | `down`, `fail`, `stopped` | the endpoint is down |
//! | `ready` | the endpoint gets requests of every kind; this ends an earlier `drain` or `maint` |
//! | `drain` | the endpoint gets only requests that are bound to it, such as those of its existing sessions |
//! | `maint` | the endpoint gets no requests |
//! | `N%` | the weight as a percentage of the configured weight, rounded down |
//! | `maxconn:N` | the maximum number of requests in flight; 0 means that there is no maximum |
//! | `#` at the start of a word | the rest of the line is the reason for `up`, `down`, `fail` or `stopped` |
//!
//! There are four kinds of words:
//!
//! - the health: `up`, `down`, `fail`, `stopped`
//! - the administrative state: `ready`, `drain`, `maint`
//! - the weight: `N%`
//! - the maximum number of requests in flight: `maxconn:N`
//!
//! If a line has several words of one kind, the last one counts. If a line has no word of a kind, the value that an
//! earlier line reported stays valid. An unknown word is reported in [`AgentReply::unknown_word`], and the other words
//! still count. A line without CR or LF is incomplete and changes nothing.
//!
//! The behaviour is that of HAProxy 2.6. Most of it was recorded from a running HAProxy. The rest follows HAProxy's
//! source code. See <https://docs.haproxy.org/2.6/configuration.html#5.2-agent-check>.

mod number;
mod parse;
mod reply;
mod state;

pub use self::{
    reply::{AgentAdmin, AgentHealth, AgentReply, AgentWarning, IncompleteLine},
    state::AgentState,
};
