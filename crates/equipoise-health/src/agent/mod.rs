//! HAProxy's agent-check protocol: how a program on an endpoint reports the state of that endpoint.
//!
//! An agent answers with one line of words. The words are separated by spaces, tabs or commas. Their order and their case
//! do not matter. The line ends at the first CR or LF. [`AgentReply`] is one parsed line; [`AgentState`] is the state after
//! a sequence of lines.
//!
//! | word | meaning |
//! | --- | --- |
//! | `up` | the endpoint is up |
//! | `down`, `fail`, `stopped` | the endpoint is down |
//! | `ready` | the endpoint takes requests; ends `drain` and `maint` |
//! | `drain` | the endpoint takes only requests that are bound to it |
//! | `maint` | the endpoint takes no requests |
//! | `N%` | the weight as a percentage of the configured weight, rounded down |
//! | `maxconn:N` | the maximum number of requests in flight; 0 removes the limit |
//! | `#` at the start of a word | the rest of the line is the reason for `up` or `down` |
//!
//! If a line has several words of one kind, the last one counts. What a line does not mention stays as it was. An unknown
//! word is reported in [`AgentReply::text`], and the other words still count. A line without CR or LF is incomplete and
//! changes nothing.
//!
//! The behaviour is that of HAProxy 2.6: most of it was recorded from HAProxy itself, the rest follows its source. See
//! <https://docs.haproxy.org/2.6/configuration.html#5.2-agent-check>.

mod number;
mod parse;
mod reply;
mod state;

pub use self::{
    reply::{AgentAdmin, AgentHealth, AgentReply, AgentWarning, IncompleteLine},
    state::AgentState,
};
